// A tus server of others, over TLS with client certificates: node server.mjs HOST PORT FOLDER ROOT.pem CERTIFICATE KEY
import fs from 'node:fs';
import https from 'node:https';
import { Server } from '@tus/server';
import { FileStore } from '@tus/file-store';

const [host, port, directory, root, certificate, key] = process.argv.slice(2);
const server = new Server({ path: '/files', datastore: new FileStore({ directory }), relativeLocation: true });
const identity = { ca: fs.readFileSync(root), cert: fs.readFileSync(certificate), key: fs.readFileSync(key),
  requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' };
https.createServer(identity, server.handle.bind(server)).listen(Number(port), host, () => console.log('ready'));
