-- A LEFT JOIN keeps the events of users who have no profile (yet): name, age, country and signup are null then.
SELECT
    e.user_id,
    e.ts,
    e.url,
    e.action,
    e.duration_ms,
    p.name,
    p.age,
    p.country,
    p.signup
FROM events AS e
LEFT JOIN profiles AS p ON p.user_id = e.user_id
