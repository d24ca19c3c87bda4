-- Views are counted per page and user first: the join then sees each pair once, and the number of viewers is a plain
-- count. Users without a profile, or without an age in it, are the group 'unknown'.
WITH views_by_user AS (
    SELECT url, user_id, count(*) AS views
    FROM events
    WHERE action = 'view'
    GROUP BY url, user_id
)
SELECT
    v.url,
    CASE
        WHEN p.age IS NULL OR p.age < 0 THEN 'unknown'
        WHEN p.age < 10 THEN '00-09'
        WHEN p.age >= 90 THEN '90+'
        ELSE concat(p.age / 10, '0-', p.age / 10, '9')
    END AS age_group,
    sum(v.views) AS views,
    count(*) AS viewers
FROM views_by_user AS v
LEFT JOIN profiles AS p ON p.user_id = v.user_id
GROUP BY 1, 2
