import type { Command } from 'commander';
import { formatDuration } from '../base/duration.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { LeaseStatus } from '../client/client.js';
import { newCommand, newGroup, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { parseCount, parseTtlMs } from './flags.js';
import { keyText } from './key-argument.js';
import { printDone } from './print-done.js';
import { printTable } from './print-table.js';
import { utf8OrNull } from './printable.js';

/** Leases: keys that hang on one go when it ends. */
export function leaseCommand(runtime: Runtime): Command {
  return newGroup('lease', 'Grant, keep alive, revoke and show leases; keys hang on them', [
    grantCommand(runtime),
    keepAliveCommand(runtime),
    revokeCommand(runtime),
    showCommand(runtime),
    listCommand(runtime),
  ]);
}

const ID = ['<id>', 'its number, as grant printed it'] as const;

function grantCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'grant',
    summary: 'Make a lease; prints its id',
    examples: [
      'balsa lease grant 60s',
      'id=$(balsa lease grant 60s) && balsa put worker/7 here --lease $id',
    ],
  })
    .argument(
      '<ttl>',
      'how long it lives when it is not kept alive, like 60s or 5m; 60 is 60s',
      parseTtlMs,
    )
    .option('--id <id>', 'with this id; default: the cluster chooses', parseCount);
  return onRun<{ readonly id?: number }>(command, runtime, async (context, [ttl], flags) => {
    const { output, signal } = context;
    const { id, ttlMs } = await context.withClient((client) =>
      // Nobody keeps it alive: this process ends.
      client.lease({ ttlMs: Number(ttl), keepAlive: false, id: flags.id, signal }),
    );
    if (output.format === 'json') await output.json({ id, ttlMs });
    else await output.line(String(id));
    output.say(output.styleTalk('dim', `it ends in ${formatDuration(ttlMs)}`));
    return EXIT.done;
  });
}

function keepAliveCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'keep-alive',
    summary: 'Keep a lease alive until Ctrl-C; exit code 3 when there is none (any more)',
    examples: ['balsa lease keep-alive 12', 'balsa lease keep-alive 12 --once'],
  })
    .argument(...ID, parseCount)
    .option('--once', 'for one more of its times to live');
  return onRun<{ readonly once?: boolean }>(command, runtime, async (context, [id], flags) =>
    keepAlive(context, Number(id), flags.once === true),
  );
}

/** After a keep-alive that was not answered the next one comes so soon. */
const RETRY_MS = 500;

async function keepAlive(context: Context, id: number, once: boolean): Promise<number> {
  const { io, output, signal } = context;
  return await context.withClient(async (client) => {
    /** Until then it lives, as far as is known here. */
    let untilMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      const askedMs = io.nowMs();
      let pauseMs = RETRY_MS;
      try {
        const { ttlMs } = await client.leases.keepAlive(id, { signal });
        untilMs = askedMs + ttlMs;
        pauseMs = ttlMs / 3;
        if (output.format === 'json') await output.json({ id, ttlMs });
        else await output.line(`${id}\t${formatDuration(ttlMs)}`);
        if (once) return EXIT.done;
      } catch (error) {
        // A change of leaders that takes its time does not end the lease.
        const { retryable, message } = asBalsaError(error);
        if (!retryable || io.nowMs() >= untilMs) throw error;
        output.say(`lease ${id} is not kept alive yet: ${message}`);
      }
      await io.sleep(pauseMs);
      if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
    }
  });
}

function revokeCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'revoke',
    summary: 'End a lease and delete its keys; exit code 3 when there is none',
    examples: ['balsa lease revoke 12', 'balsa lease revoke 12 -o json'],
  }).argument(...ID, parseCount);
  return onRun(command, runtime, async (context, [id]) => {
    const { output, signal } = context;
    const { revision } = await context.withClient((client) =>
      client.leases.revoke(Number(id), { signal }),
    );
    await printDone(output, { json: { id: Number(id), revision }, revision, word: 'revoked' });
    return EXIT.done;
  });
}

function showCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'show',
    summary: 'Show what is left of a lease, and its keys; exit code 3 when there is none',
    examples: ['balsa lease show 12', 'balsa lease show 12 -o json'],
  }).argument(...ID, parseCount);
  return onRun(command, runtime, async (context, [id]) => {
    const { output, signal } = context;
    const lease = await context.withClient((client) => client.leases.get(Number(id), { signal }));
    if (lease === null) {
      output.say(`not found: there is no lease ${id}`);
      return EXIT.notFound;
    }
    const { keys, ...status } = lease;
    if (output.format === 'json') {
      const texts = keys.map((key) => utf8OrNull(key) ?? { base64: key.toString('base64') });
      await output.json({ ...status, keys: texts });
      return EXIT.done;
    }
    await printTable(output, COLUMNS, [toCells(status, output.format === 'table')]);
    for (const key of keys) await output.line(keyText(key));
    return EXIT.done;
  });
}

function listCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'list',
    summary: 'List all leases',
    examples: ['balsa lease list', 'balsa lease list -o json'],
  });
  return onRun(command, runtime, async (context) => {
    const { output, signal } = context;
    const leases = await context.withClient((client) => client.leases.list({ signal }));
    if (output.format === 'json') {
      for (const lease of leases) await output.json(lease);
    } else if (leases.length === 0) {
      output.say('no leases');
    } else {
      const rows = leases.map((lease) => toCells(lease, output.format === 'table'));
      await printTable(output, COLUMNS, rows);
    }
    return EXIT.done;
  });
}

const COLUMNS = [
  { title: 'LEASE', align: 'right' },
  { title: 'TTL', align: 'right' },
  { title: 'LEFT', align: 'right' },
  { title: 'KEYS', align: 'right' },
] as const;

function toCells({ id, ttlMs, remainingMs, keyCount }: LeaseStatus, forPeople: boolean): string[] {
  const time = (ms: number): string => (forPeople ? formatDuration(ms) : String(Math.round(ms)));
  return [String(id), time(ttlMs), time(remainingMs), String(keyCount)];
}
