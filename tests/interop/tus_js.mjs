// A tus client that we did not write hands a sealed envelope to the centre, is cut on the way, and goes on.
//   node tus_js.mjs URL ROOT.pem CERTIFICATE KEY ENVELOPE [MANIFEST.base64]
import fs from 'node:fs';
import https from 'node:https';
import * as tus from 'tus-js-client';

const [endpoint, root, certificate, key, envelope, manifest] = process.argv.slice(2);
const agentOptions = {
  ca: fs.readFileSync(root), cert: fs.readFileSync(certificate), key: fs.readFileSync(key), keepAlive: false,
};
const httpStack = new tus.DefaultHttpStack(agentOptions);
let retries = 0;
let receipt = null;
const answers = [];
const upload = new tus.Upload(fs.createReadStream(envelope), {
  endpoint, httpStack, chunkSize: 262144, uploadSize: fs.statSync(envelope).size, retryDelays: [0, 200, 500, 1000],
  headers: {}, uploadDataDuringCreation: false,
  metadata: {},
  onShouldRetry(error) { if ((error.originalResponse?.getStatus() ?? 500) >= 400 && error.originalResponse) return false; retries++; return true; },
  onBeforeRequest(request) {
    // tus-js-client encodes metadata itself; a manifest is binary, so it is given as it travels.
    if (request.getMethod() === 'POST' && manifest)
      request.setHeader('Upload-Metadata', `manifest ${fs.readFileSync(manifest, 'ascii').trim()}`);
  },
  onAfterResponse(request, response) {
    answers.push(`${request.getMethod()} ${response.getStatus()}`);
    receipt = response.getHeader('Titip-Receipt') ?? receipt;
  },
  onError(error) {
    console.log(JSON.stringify({ done: false, status: error.originalResponse?.getStatus(), body: error.originalResponse?.getBody(), answers }));
    process.exit(1);
  },
  onSuccess() {
    console.log(JSON.stringify({ done: true, retries, receipt, answers }));
    process.exit(0);
  },
});
upload.start();
