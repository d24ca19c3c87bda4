// Makes a container on Azurite once it answers; ends with 1 after a minute. Arguments: port, account, key, container.
import { createHmac } from "node:crypto";

const [port, account, key, container] = process.argv.slice(2);
const until = Date.now() + 60_000;

async function make() {
    const headers = { "x-ms-date": new Date().toUTCString(), "x-ms-version": "2023-11-03" };
    const named = Object.entries(headers).map(([name, value]) => `${name}:${value}`);
    const resource = `/${account}/${account}/${container}\nrestype:container`;
    const text = ["PUT", ...Array(11).fill(""), ...named, resource].join("\n");
    const signature = createHmac("sha256", Buffer.from(key, "base64")).update(text, "utf8").digest("base64");
    headers.Authorization = `SharedKey ${account}:${signature}`;
    const url = `http://127.0.0.1:${port}/${account}/${container}?restype=container`;
    const answer = await fetch(url, { method: "PUT", headers });
    return answer.status === 201 || answer.status === 409;
}

while (!(await make().catch(() => false))) {
    if (Date.now() > until) process.exit(1);
    await new Promise((done) => setTimeout(done, 100));
}
