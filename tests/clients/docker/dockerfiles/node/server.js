const http = require("http");
const ms = require("ms");
http.createServer((_, answer) => answer.end(`served by node, two days are ${ms("2 days")}\n`)).listen(8000);
