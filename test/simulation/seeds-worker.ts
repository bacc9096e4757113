import { simulate } from './simulate.js';

/** `node seeds-worker.js FROM COUNT`, forked: sends the report of each run. */
const from = Number(process.argv[2]);
const count = Number(process.argv[3]);

for (let seed = from; seed < from + count; seed += 1) process.send?.(await simulate({ seed }));
process.disconnect();
