-- Flights without a tail number belong to no plane and are left out: 2,512 of 336,776, all of them cancelled.
-- About a sixth of the others name a plane that the registry does not hold: they stay, with null facts.
--
-- The list is made here and not by the fold `list`, which would repeat the plane's facts in each of its flights.
SELECT
    f.tailnum,
    p.manufacturer,
    p.model,
    p.year AS built,
    p.seats,
    p.engines,
    p.engine,
    count(*) AS flight_count,
    array_agg(
        named_struct(
            'departure', f.time_hour + arrow_cast(f.minute * 60, 'Duration(Second)'),
            'carrier', f.carrier,
            'flight', f.flight,
            'origin', f.origin,
            'dest', f.dest,
            'dep_delay', f.dep_delay,
            'arr_delay', f.arr_delay
        )
        ORDER BY f.time_hour, f.minute, f.carrier, f.flight
    ) AS flights
FROM flights AS f
LEFT JOIN planes AS p ON p.tailnum = f.tailnum
WHERE f.tailnum IS NOT NULL
GROUP BY f.tailnum, p.manufacturer, p.model, p.year, p.seats, p.engines, p.engine
