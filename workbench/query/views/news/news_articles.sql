-- News articles, a row per address: those of the base table news_items, and what people imported.
--
-- `source` is the publisher; the vendor passes on no `content`, which is NULL but in imported rows. Where the vendor lists an address twice, the row is of
-- the article that was published first. `id` derives from the address; `created_at` is when the lake first held the article. Symbols, keywords and
-- sentiment are in news_items. Of imported rows those show whose address is not here.
--
-- Example: SELECT published_at, source, title FROM news.news_articles WHERE published_at >= '2024-03-01' ORDER BY published_at DESC LIMIT 10
SELECT
    md5(b.article_url)::UUID AS id,
    b.title,
    b.description,
    NULL::VARCHAR AS content,
    b.article_url AS url,
    b.publisher AS source,
    b.author,
    b.published_at,
    b.seen_at AS created_at
FROM main.news_items AS b
WHERE b.id NOT IN (SELECT id FROM workbench.kept_repeated_news)
UNION ALL
SELECT i.id, i.title, i.description, i.content, i.url, i.source, i.author, i.published_at, i.created_at
FROM imported.news_news_articles AS i
LEFT JOIN main.news_items AS b ON b.article_url = i.url
WHERE b.article_url IS NULL
