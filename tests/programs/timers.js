// Timers, promises, the thread pool (scrypt, files) and compiled code; prints digests in order.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const rounds = Number(process.argv[2]);

function hot(n) {
  let a = 1;
  for (let i = 0; i < n; i++) a = (Math.imul(a, 1664525) + 1013904223 + (i % 7)) | 0;
  return a >>> 0;
}

async function pooled() {
  const lines = [];
  for (let i = 0; i < rounds / 20; i++) {
    const key = await new Promise((done, failed) =>
      crypto.scrypt('secret ' + i, 'salt', 32, (error, k) => (error ? failed(error) : done(k))));
    await fs.promises.writeFile('node-file', key);
    lines.push((await fs.promises.readFile('node-file')).toString('hex'));
  }
  return crypto.createHash('sha256').update(lines.join('\n')).digest('hex');
}

function ticking() {
  return new Promise(done => {
    let ticks = 0;
    let value = 0;
    const timer = setInterval(() => {
      value = (value * 31 + hot(200000)) % 1000000007;
      if (++ticks === rounds) {
        clearInterval(timer);
        done(value);
      }
    }, 5);
  });
}

Promise.all([pooled(), ticking()]).then(([a, b]) => console.log(a, b, hot(1e7)));
