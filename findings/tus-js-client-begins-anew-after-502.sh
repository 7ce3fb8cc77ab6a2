#!/usr/bin/env bash
# tus-js-client asks a server with HEAD how much it has, once a connection broke off, and goes
# on there. A good guess is that an error to that HEAD that passes (502, while a web server's
# site starts again) is tried again like any other: there are retryDelays, and onShouldRetry
# says yes. It is not so: any error but 423 counts as the end of the upload. Nobody is asked;
# the client creates another upload and sends the whole file anew, while the first one keeps
# its parts, and its room in a quota, at the server.
#
# Here: the example's page throws in onAfterResponse, which makes of such a HEAD an attempt
# without a response (example/pages/static/pages/files.js); docs/application/uploads.md.
#
# Needs the npm registry, Node 18 or newer, and half a minute.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --no-package-lock tus-js-client@4.3.1 >/dev/null
cat >try.mjs <<'JS'
import http from "node:http";
import { Upload } from "tus-js-client";

const SIZE = 300_000;
const seen = [];
let uploads = 0;
let heads = 0;
const offsets = {};

const server = http.createServer((request, response) => {
  const name = request.url.slice(1);
  seen.push(request.method);
  response.setHeader("Tus-Resumable", "1.0.0");
  if (request.method === "POST") {
    offsets[++uploads] = 0;
    response.setHeader("Location", `/${uploads}`);
    response.writeHead(201).end();
  } else if (request.method === "HEAD") {
    // The site behind the web server starts again, and is back at the next request.
    if (++heads === 1) return response.writeHead(502).end();
    response.setHeader("Upload-Offset", offsets[name]);
    response.setHeader("Upload-Length", SIZE);
    response.writeHead(200).end();
  } else {
    request.on("data", (piece) => {
      offsets[name] += piece.length;
      // Once, the connection breaks off half way.
      if (uploads === 1 && heads === 0 && offsets[name] >= SIZE / 2) request.destroy();
    });
    request.on("error", () => {});
    request.on("end", () => {
      response.setHeader("Upload-Offset", offsets[name]);
      response.writeHead(204).end();
    });
  }
});
server.listen(0, "127.0.0.1", () => {
  let asked = 0;
  const end = (error) => {
    console.log(`requests: ${seen.join(" ")}`);
    console.log(`onShouldRetry was asked ${asked} time(s); uploads: ${uploads}`);
    const anew = !error && uploads === 2 && asked === 1 && offsets[2] === SIZE;
    console.log(anew
      ? "seen: after the 502 all bytes were sent once more, to another upload"
      : `another behaviour: ${error ?? JSON.stringify(offsets)}`);
    process.exit(anew ? 0 : 1);
  };
  new Upload(Buffer.alloc(SIZE, "x"), {
    endpoint: `http://127.0.0.1:${server.address().port}/`,
    retryDelays: [0, 100, 100],
    onShouldRetry: () => { asked += 1; return true; },
    onSuccess: () => end(),
    onError: end,
  }).start();
});
JS
echo "version: tus-js-client $(node -p 'require("tus-js-client/package.json").version' 2>/dev/null || echo 4.3.1), node $(node --version)"
echo "expected: HEAD is tried again, and the upload goes on at its offset"
timeout 60 node try.mjs
