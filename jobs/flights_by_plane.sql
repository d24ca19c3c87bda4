-- Flights without a tail number belong to no plane and are left out: 2,512 of 336,776, all of them cancelled.
-- About a sixth of the others name a plane that is not in the registry: they are kept, with null facts.
SELECT
    f.tailnum,
    f.time_hour + arrow_cast(f.minute * 60, 'Duration(Second)') AS departure,
    f.carrier,
    f.flight,
    f.origin,
    f.dest,
    f.dep_delay,
    f.arr_delay,
    p.manufacturer,
    p.model,
    p.year AS built,
    p.seats,
    p.engines,
    p.engine
FROM flights AS f
LEFT JOIN planes AS p ON p.tailnum = f.tailnum
WHERE f.tailnum IS NOT NULL
