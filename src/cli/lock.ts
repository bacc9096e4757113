import type { Command } from 'commander';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Held } from '../client/client.js';
import { op } from '../client/op.js';
import { newCommand, onRun, type Runtime, splitAtDashes } from './command.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { parseTimeoutMs, parseTtlMs } from './flags.js';
import { parseName, parseValue } from './key-argument.js';
import { jsonBytes, oneLine, printable } from './printable.js';
import type { StoreClient } from './store-client.js';

interface TurnFlags {
  readonly ttl?: number;
  readonly wait?: number;
}

interface LockFlags extends TurnFlags {
  readonly try?: boolean;
}

interface ElectFlags extends TurnFlags {
  readonly listen?: boolean;
}

export function lockCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'lock',
    summary: 'Hold a lock while a command runs, or until Ctrl-C',
    details: HOLD_HELP,
    examples: [
      'balsa lock nightly -- ./report.sh          its exit code; ended (SIGTERM) when the lock is lost',
      'balsa lock nightly --try -- ./report.sh    exit code 4 when somebody else has it',
      'balsa lock nightly                         prints the fencing token, and holds until Ctrl-C',
    ],
  })
    .argument('<name>', 'of the lock')
    .argument('[command...]', 'behind --: runs while the lock is held')
    .usage('[options] <name> [-- command args...]')
    .option('--try', 'do not wait: exit code 4 when somebody else has it');
  addTurnFlags(command);
  return onRun<LockFlags>(command, runtime, async (context, _args, flags) => {
    const { args, child } = splitAtDashes(runtime, command, 1);
    const [given] = args;
    if (given === undefined) throw new BalsaError('INVALID_ARGUMENT', 'lock: give a NAME');
    const name = parseName(given);
    return await context.withClient(async (client) => {
      const options = turnOptions(context, flags);
      const taking =
        flags.try === true ? client.tryLock(name, options) : client.lock(name, options);
      const lock = await orGivenUp(client, taking, flags);
      if (lock !== null) return await hold(context, lock, { name, what: 'lock', child });
      context.output.say(`the lock ${oneLine(name)} is held by somebody else`);
      return EXIT.conditionFailed;
    });
  });
}

export function electCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'elect',
    summary: 'Lead while a command runs, or until Ctrl-C; or tell who leads',
    details: HOLD_HELP,
    examples: [
      'balsa elect billing 10.0.0.7:8080                   waits to lead, then holds the leadership',
      'balsa elect billing 10.0.0.7:8080 -- ./billing.sh   leads while it runs',
      'balsa elect billing --listen                        who leads, now and whenever it changes',
    ],
  })
    .argument('<name>', 'of the election')
    .argument('[value]', 'what others shall know of this leader')
    .argument('[command...]', 'behind --: runs while this one leads')
    .usage('[options] <name> [value] [-- command args...]')
    .option('--listen', 'do not stand: tell who leads');
  addTurnFlags(command);
  return onRun<ElectFlags>(command, runtime, async (context, _args, flags) => {
    const { args, child } = splitAtDashes(runtime, command, 2);
    const [given, value] = args;
    if (given === undefined) throw new BalsaError('INVALID_ARGUMENT', 'elect: give a NAME');
    const name = parseName(given);
    if (flags.listen === true) {
      if (value === undefined && child === null) return await listen(context, name);
      throw new BalsaError('INVALID_ARGUMENT', 'elect: --listen takes no VALUE and no command');
    }
    if (value === undefined) {
      throw new BalsaError('INVALID_ARGUMENT', 'elect: give a VALUE, or --listen');
    }
    return await context.withClient(async (client) => {
      const campaign = client
        .election(name)
        .campaign(parseValue(value), turnOptions(context, flags));
      const leadership = await orGivenUp(client, campaign, flags);
      return await hold(context, leadership, { name, what: 'leadership', child });
    });
  });
}

const TTL_DEFAULT_MS = 10_000;

function addTurnFlags(command: Command): void {
  command
    .option(
      '--ttl <duration>',
      'how long the next one waits when this one is not heard of any more; default: 10s',
      parseTtlMs,
    )
    .option(
      '--wait <duration>',
      'how long to wait for the turn, like 2s; 0: without limit, the default',
      parseTimeoutMs,
    );
}

const HOLD_HELP = `
The fencing token is higher with every holder: printed on stdout, or in the environment of the command as
BALSA_FENCING_TOKEN. What stands outside of the store and is changed meanwhile should refuse those
below the highest that it has seen.`;

function turnOptions({ signal }: Context, { ttl, wait }: TurnFlags) {
  return { ttlMs: ttl ?? TTL_DEFAULT_MS, timeoutMs: wait ?? 0, signal };
}

/** How long a place may take to be given up, or back when there is no limit; then it expires with its lease. */
const GIVE_UP_MS = 2000;

/**
 * What is waited for. When that fails the client gives its place in the queue up, behind our back: it must have
 * done so before it is closed, or those behind would wait until the lease expires.
 */
async function orGivenUp<T>(
  client: StoreClient,
  taking: Promise<T>,
  { wait = 0 }: TurnFlags,
): Promise<T> {
  try {
    return await taking;
  } catch (error) {
    const { code, message, outcome, details } = asBalsaError(error);
    // Then there is no place, or nobody who could take note that it is given up.
    if (code === 'NO_QUORUM' || code === 'UNREACHABLE') throw error;
    // Writes of one client are applied in their order, so this one is behind it. What matters is the first error.
    const behind = client.txn().do(op.get('_lock')).commit({ timeoutMs: GIVE_UP_MS });
    await behind.catch(() => undefined);
    if (code !== 'TIMEOUT' || wait === 0) throw error;
    const hint = '--wait allows more time; balsa status shows whether there is a leader';
    const options = { cause: error, details: { ...details, hint } };
    throw new BalsaError(code, message, outcome === undefined ? options : { ...options, outcome });
  }
}

interface Holding {
  readonly name: string;
  readonly what: 'lock' | 'leadership';
  readonly child: readonly string[] | null;
}

/** Holds it while the command runs, or until it is lost or Ctrl-C; then gives it back. */
async function hold(context: Context, held: Held, holding: Holding): Promise<number> {
  const { name, what, child } = holding;
  const { output, signal } = context;
  const { fencingToken } = held;
  try {
    output.say(`holding the ${what} ${oneLine(name)}, fencing token ${fencingToken}`);
    if (child !== null) return await runHolding(context, held, child);
    if (output.format === 'json') await output.json({ name, fencingToken });
    else await output.line(String(fencingToken));
    await aborted(AbortSignal.any([held.signal, signal]));
    if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
    throw held.signal.reason;
  } finally {
    await giveBack(context, held, holding);
  }
}

async function runHolding(
  context: Context,
  held: Held,
  command: readonly string[],
): Promise<number> {
  const { io, signal } = context;
  const { exit } = await io.runChild({
    command,
    env: { BALSA_FENCING_TOKEN: String(held.fencingToken) },
    input: null,
    signal: AbortSignal.any([held.signal, signal]),
  });
  if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
  // Whatever the command says of itself: it did not have the lock all the time.
  held.check();
  return exit;
}

async function giveBack(context: Context, held: Held, { name, what }: Holding): Promise<void> {
  if (held.signal.aborted) return;
  try {
    await held.release({ timeoutMs: context.options.timeout || GIVE_UP_MS });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    context.output.say(`the ${what} ${oneLine(name)} could not be given back, and expires: ${why}`);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function listen(context: Context, name: string): Promise<number> {
  const { output, signal } = context;
  await context.withClient(async (client) => {
    for await (const leader of client.election(name).observe({ signal })) {
      if (leader === null) {
        if (output.format === 'json') await output.json({ leader: null });
        else output.say('nobody leads');
        continue;
      }
      const { value, ...facts } = leader;
      if (output.format === 'json') {
        await output.json({ leader: { ...jsonBytes('value', value), ...facts } });
      } else {
        await output.line(printable(value, 'one-line'));
      }
    }
  });
  if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
  return EXIT.done;
}
