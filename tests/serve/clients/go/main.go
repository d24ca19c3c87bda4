// What a program with go-redis does with a server of the dataset of the tests. Its argument is the port.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
)

func check(is bool, what string, details ...interface{}) {
	if !is {
		fmt.Fprintln(os.Stderr, append([]interface{}{what}, details...)...)
		os.Exit(1)
	}
}

func main() {
	ctx := context.Background()
	for _, protocol := range []int{2, 3} {
		client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Args[1], Protocol: protocol})
		value, err := client.Get(ctx, "numbers:k000").Result()
		check(err == nil && value == `{"generation":1}`, "GET", value, err)
		_, err = client.Get(ctx, "numbers:none").Result()
		check(err == redis.Nil, "GET of an absent key", err)
		values, err := client.MGet(ctx, "numbers:k001", "numbers:none").Result()
		check(err == nil && values[0] == `{"generation":1}` && values[1] == nil, "MGET", values, err)
		fields, err := client.HGetAll(ctx, "numbers:k001").Result()
		check(err == nil && len(fields) == 1 && fields["generation"] == "1", "HGETALL", fields, err)
		keys, scan := 0, client.Scan(ctx, 0, "numbers:k0*", 7).Iterator()
		for scan.Next(ctx) {
			keys++
		}
		check(scan.Err() == nil && keys == 100, "SCAN", keys, scan.Err())
		found, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for at := 0; at < 1000; at++ {
				pipe.Get(ctx, fmt.Sprintf("numbers:k%03d", at%100))
			}
			return nil
		})
		check(err == nil && len(found) == 1000, "pipeline", len(found), err)
		for _, command := range found {
			check(command.(*redis.StringCmd).Val() == `{"generation":1}`, "pipeline", command)
		}
		one := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Args[1], Protocol: protocol, DB: 1})
		value, err = one.Get(ctx, "k000").Result()
		check(err == nil && value == `{"generation":1}`, "GET in database 1", value, err)
		size, err := one.DBSize(ctx).Result()
		check(err == nil && size == 100, "DBSIZE", size, err)
		err = client.Set(ctx, "numbers:k000", "x", 0).Err()
		check(redis.HasErrorPrefix(err, "READONLY"), "SET", err)
	}
	fmt.Println("done")
}
