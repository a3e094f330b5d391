-- When markets trade: the sessions of each calendar from 1990 to the end of next year, and the instants at which their parts begin and end.
--
-- Parts are half open: pre-market from `pre_open` up to `open`, regular hours up to `close`, post-market up to `post_close`. `calendar` is XNYS for stocks, options and
-- indices, of which only stocks have a pre-market and a post-market; CMES for futures; 24/5 for forex and 24/7 for crypto, whose sessions are UTC days: those
-- have no parts, and `pre_open` and `post_close` are NULL. `early_close` is the reason of an early close, else NULL. A day that is not here is no session.
--
-- Example: SELECT date, open, close, post_close, early_close FROM market_sessions WHERE calendar = 'XNYS' AND date BETWEEN '2024-07-01' AND '2024-07-05' ORDER BY date
SELECT calendar, date, pre_open, open, close, post_close, early_close
FROM workbench_log.sessions
