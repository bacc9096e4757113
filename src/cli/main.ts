#!/usr/bin/env node
import type { Writable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { EXIT } from './exit-codes.js';
import { giveHeapRoom } from './heap-room.js';
import type { CliIo } from './io.js';
import { runCli } from './program.js';
import { sleep } from './sleep.js';

/** The `balsa` command: the process around `runCli`. */

const interruption = new AbortController();

const io: CliIo = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  interrupted: interruption.signal,
  nowMs: () => performance.now(),
  // Whoever slept looks at `interrupted` by himself.
  sleep: (ms) => sleep(ms, interruption.signal),
  // gRPC takes a tenth of a second to load: only commands that talk to replicas pay for it.
  async connect(options) {
    const { bytes, connect } = await import('../client/client.js');
    return await connect({ ...options, codec: bytes, keys: 'bytes' });
  },
  async runChild(child) {
    const { runChild } = await import('./run-child.js');
    return await runChild(child);
  },
  async startServer(config) {
    // All that is loaded from here on has machine code from its first call: what is seldom run, or just after a start, is
    // otherwise interpreted for half a minute (docs/performance.md). What is run often is optimized later all the same.
    setFlagsFromString('--always-sparkplug');
    // And it is optimized when it has run less than half as long as V8 would wait: where few ask, that takes minutes.
    setFlagsFromString('--interrupt-budget=30000');
    giveHeapRoom();
    const { startServer } = await import('../server/server.js');
    return await startServer(config);
  },
};

/** The first signal ends the command cleanly, the second at once. */
function onSignal(): void {
  if (interruption.signal.aborted) process.exit(EXIT.interrupted);
  interruption.abort();
}

process.on('SIGINT', onSignal);
process.on('SIGTERM', onSignal);

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `balsa range | head`: whoever read has enough.
  if (error.code === 'EPIPE') process.exit(EXIT.done);
  process.stderr.write(`error: stdout cannot be written: ${error.message}\n`);
  process.exit(EXIT.failed);
});
// Nobody listens to the talk any more; that is no reason to end, least of all for a replica.
process.stderr.on('error', () => undefined);

function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()));
}

const exit = await runCli(process.argv.slice(2), io);
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
process.exit(exit);
