import { type Command, InvalidArgumentError, Option } from 'commander';
import { BalsaError } from '../../base/errors.js';
import { parseJson } from '../../base/json-text.js';
import type { CallResult, ProcedureCallOptions } from '../../client/client.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { INPUT_BYTES_MAX, readInput } from '../input.js';
import { printJson } from '../print-json.js';
import { oneLine, utf8OrNull } from '../printable.js';
import { shortHash } from './reference.js';

interface CallFlags {
  readonly file?: string;
  readonly idempotencyKey?: string;
  readonly route?: 'lane' | 'any';
  readonly durability?: ProcedureCallOptions['durability'];
}

export function callCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'call',
    summary: 'Call a procedure: its result is printed as JSON, what it logs goes to stderr',
    details: `
A call counts once. Whoever does not know what became of one asks again with the same --key, and is told
the first result. Exit code 4: the procedure has aborted. 1: its code has failed, or has reached a limit;
nothing is written then, either.

An ap procedure is called with --consistency ap-local at whichever replica can be reached, also without a
majority. With --durability N it is answered when N other replicas have on their disks what it changed.`,
    examples: [
      `balsa proc call transfer '{ "from": "ada", "to": "bob", "amount": 5 }' --key order-17`,
      'balsa proc call balance - --consistency any < args.json',
      'balsa proc call transfer@staging --file args.json -o json',
      `balsa proc call view '"home"' --consistency ap-local --durability 1`,
    ],
  })
    .argument('<ref>', 'transfer, transfer@staging, or transfer@HASH')
    .argument('[json]', 'its arguments; - reads them from stdin; default: null')
    .option('--file <path>', 'read the arguments from a file, - for stdin')
    // Its variable has the long name: BALSA_KEY is what the commands of `balsa watch` are told.
    .option('--key, --idempotency-key <key>', 'of all calls with this key one is applied')
    .addOption(
      new Option(
        '--route <where>',
        'lane: at the leader, one after the other (default); any: beside others. Not with --consistency',
      ).choices(['lane', 'any']),
    )
    .option(
      '--durability <where>',
      'with --consistency ap-local: local (default): on one disk; N: on those of N other replicas, too',
      parseDurability,
    );
  return onRun<CallFlags>(command, runtime, async (context, [reference = '', json], flags) => {
    const args = await readArguments(context, json, flags.file);
    const { signal, options } = context;
    const { idempotencyKey, route, durability } = flags;
    // Those of other reads are not meant, but what was said for this one.
    const { consistency } = options;
    const call = { idempotencyKey, route, durability, consistency, signal };
    const answer = await context.withClient((client) =>
      client.call(reference, args, call).catch((error: unknown) => {
        tellFailed(context, error);
        throw error;
      }),
    );
    await print(context, answer, idempotencyKey !== undefined);
    return EXIT.done;
  });
}

function parseDurability(text: string): ProcedureCallOptions['durability'] {
  if (text === 'local') return text;
  if (/^\d{1,3}$/.test(text)) return { peers: Number(text) };
  throw new InvalidArgumentError('It must be local, or a number of other replicas.');
}

async function readArguments(
  context: Context,
  json: string | undefined,
  file: string | undefined,
): Promise<unknown> {
  if (json !== undefined && file !== undefined) {
    throw new BalsaError('INVALID_ARGUMENT', 'proc call: give the arguments or --file, not both');
  }
  const source = file ?? (json === '-' ? json : undefined);
  if (source === undefined) return json === undefined ? null : parseJson('the arguments are', json);
  const { name, bytes } = await readInput(context, source);
  if (bytes === null) {
    throw new BalsaError('INVALID_ARGUMENT', `${name} has more than ${INPUT_BYTES_MAX} bytes`);
  }
  const text = utf8OrNull(bytes);
  if (text === null) throw new BalsaError('INVALID_ARGUMENT', `${name} is no text in UTF-8`);
  return parseJson(`${name} is`, text);
}

/** @param isNamed the key is one of the user, and not of the call alone */
async function print(
  { output }: Context,
  answer: CallResult<unknown>,
  isNamed: boolean,
): Promise<void> {
  const { result, revision, repeated, hash, logs, pending, meta } = answer;
  if (output.format === 'json') return await output.json(answer);
  tellLogs(output, logs);
  await printJson(output, result);
  if (repeated && isNamed) {
    output.say('it had been applied before, with this key: this is what it gave then');
  }
  if (output.format !== 'table') return;
  if (pending) output.say(output.styleTalk('dim', 'pending: not merged yet'));
  const code = hash === '' ? '' : `${shortHash(hash)}, `;
  output.say(
    output.styleTalk('dim', `revision ${revision}, ${code}${meta.level} from ${meta.replica}`),
  );
}

/** What it had logged is often why. */
function tellFailed({ output }: Context, error: unknown): void {
  if (!(error instanceof BalsaError)) return;
  const { logs } = error.details;
  if (Array.isArray(logs)) tellLogs(output, logs.map(String));
}

function tellLogs(output: Context['output'], lines: readonly string[]): void {
  for (const line of lines) {
    output.say(output.styleTalk('dim', oneLine(line)));
  }
}
