import { simulate } from './simulate.js';

// Refusals are ordinary here, and what repeats a failed run shows where its error comes from.
Error.stackTraceLimit = 0;

/** `node seeds-worker.js FROM COUNT`, forked: sends the report of each run. */
const from = Number(process.argv[2]);
const count = Number(process.argv[3]);

for (let seed = from; seed < from + count; seed += 1) process.send?.(await simulate({ seed }));
process.disconnect();
