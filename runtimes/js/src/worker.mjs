/**
 * Worker program: `node worker.mjs RUNTIME` hosts one JavaScript runtime and answers the worker protocol on file
 * descriptors 3 and 4 until `bye` or the end of the request pipe.
 *
 * The runtimes are the files in `runtimes/`; adding one needs no change here.
 */
import { readdirSync } from 'node:fs';
import { serve } from './protocol.mjs';
import { Session } from './session.mjs';

const RUNTIMES = new URL('runtimes/', import.meta.url);
const ids = readdirSync(RUNTIMES)
  .filter((file) => file.endsWith('.mjs'))
  .map((file) => file.slice(0, -'.mjs'.length));

const id = process.argv[2];
if (!ids.includes(id)) {
  console.error(`usage: node worker.mjs RUNTIME with RUNTIME one of ${ids.join(', ')}; found '${id ?? ''}'`);
  process.exit(2);
}

const { runtime } = await import(new URL(`${id}.mjs`, RUNTIMES).href);
const session = new Session(id, runtime);

/** @type {[string, import('./protocol.mjs').Handler][]} */
const handlers = [
  ['hello', (request) => session.hello(request)],
  ['load', (request) => session.load(request)],
  ['run', (request) => session.run(request)],
  ['unload', (request) => session.unload(request)],
  ['bye', async () => (await session.close(), {})],
];

try {
  await serve(new Map(handlers));
} catch (error) {
  console.error(error);
  process.exit(70); // EX_SOFTWARE: this process cannot go on, and the host sees it as a crash with this log
}
// runtimes keep timers and threads alive; the conversation is over, so are they
process.exit(0);
