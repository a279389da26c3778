// Sends files, four at once, each with its creation, until all have come:
//   node client.mjs URL ROOT.pem CERTIFICATE KEY FILE...
import fs from 'node:fs';
import * as tus from 'tus-js-client';

const [endpoint, root, certificate, key, ...files] = process.argv.slice(2);
const httpStack = new tus.DefaultHttpStack({ ca: fs.readFileSync(root), cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key), keepAlive: true, maxSockets: 4, timeout: 30000 });
const retryDelays = Array(1000).fill(1000);

function send(file) {
  return new Promise((resolve, reject) => new tus.Upload(fs.readFileSync(file), {
    endpoint, httpStack, retryDelays, uploadDataDuringCreation: true, onSuccess: resolve, onError: reject,
  }).start());
}

// tus-js-client retries by itself, but for answers it takes for final: then the file is begun again.
async function worker() {
  while (files.length > 0) {
    const file = files.shift();
    await send(file).catch(async (error) => {
      console.log(error.message);
      files.push(file);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    });
  }
}

await Promise.all([worker(), worker(), worker(), worker()]);
process.exit(0); // connections are kept open
