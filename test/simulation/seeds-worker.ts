import { reportRuns } from './report.js';

// Refusals are ordinary here, and what repeats a failed run shows where its error comes from.
Error.stackTraceLimit = 0;

/** `node seeds-worker.js FROM COUNT`, forked: sends the report of each run. */
const from = Number(process.argv[2]);
const count = Number(process.argv[3]);

await reportRuns(Array.from({ length: count }, (_, i) => from + i));
