-- Articles of `news_items` that have the address of one that was published before them, or at once with a lesser id.
SELECT id
FROM main.news_items
QUALIFY row_number() OVER (PARTITION BY article_url ORDER BY published_at, id) > 1
