import { type Command, Option } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { LaggingNotice, WatchEvent, WatchOptions } from '../client/client.js';
import { newCommand, onRun, type Runtime, splitAtDashes } from './command.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { parseCount } from './flags.js';
import { keyText } from './key-argument.js';
import { addKeyFlags, KEY_HELP, type KeyFlags, type Keys, namedKeys } from './key-flags.js';
import { jsonBytes, printable, utf8OrNull } from './printable.js';

interface WatchFlags extends KeyFlags {
  readonly rev?: number;
  readonly prev?: boolean;
  readonly only?: 'puts' | 'deletes';
  readonly limit?: number;
}

type Event = WatchEvent<Buffer, 'bytes'>;

export function watchCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'watch',
    summary: 'Tell of every change, each once, in order, until Ctrl-C',
    details: CHILD_HELP,
    examples: [
      'balsa watch greeting',
      'balsa watch --prefix user/ --rev 100 -o json    what was written since revision 100, too',
      'balsa watch --prefix config/ -- sh -c \'echo "$BALSA_EVENT_TYPE $BALSA_KEY"; cat\'',
    ],
  })
    .argument('[key]', `${KEY_HELP}; nothing at all: every key`)
    .argument('[command...]', 'behind --: run for each event, see below')
    .usage('[options] [key] [-- command args...]');
  addKeyFlags(command)
    .option('--rev <revision>', 'from this revision on, also of the past', parseCount)
    .option('--prev', 'with what the key held before')
    .addOption(new Option('--only <kind>', 'only these events').choices(['puts', 'deletes']))
    .option('--limit <n>', 'end after so many events', parseCount);
  return onRun<WatchFlags>(command, runtime, async (context, _args, flags) => {
    const { args, child } = splitAtDashes(runtime, command, 1);
    const keys = namedKeys('watch', args[0], flags);
    return await new EventWatch(context, flags, child).run(keys);
  });
}

const CHILD_HELP = `
The command behind -- is run for each event, one after the other. In its environment are
BALSA_EVENT_TYPE (put or delete), BALSA_KEY, BALSA_VALUE and BALSA_REVISION; on its stdin is the value,
byte for byte. BALSA_KEY_BASE64 and BALSA_VALUE_BASE64 are there instead where bytes are no text. A value of
more than 32 KiB is on stdin alone. An exit code that is not 0 is told, and the watch goes on.`;

/** One `balsa watch`: prints events, or runs the command for them. */
class EventWatch {
  readonly #context: Context;
  readonly #flags: WatchFlags;
  readonly #child: readonly string[] | null;

  constructor(context: Context, flags: WatchFlags, child: readonly string[] | null) {
    this.#context = context;
    this.#flags = flags;
    this.#child = child;
  }

  async run(keys: Keys | null): Promise<number> {
    const { output, signal } = this.#context;
    const { rev, prev, only, limit = Number.POSITIVE_INFINITY } = this.#flags;
    await this.#context.withClient(async (client) => {
      const watch = client.watch({
        ...(keys?.range ?? { key: keys?.key }),
        ...{ fromRevision: rev, withPrevious: prev, only, signal },
        consistency: watchLevel(this.#context),
        onLagging: (notice) => output.say(laggingText(notice)),
      });
      const { revision } = await watch.ready;
      output.say(output.styleTalk('dim', `watching from revision ${rev ?? revision + 1}`));
      let count = 0;
      for await (const event of watch) {
        await this.#tell(event);
        count += 1;
        if (count >= limit) break;
      }
    });
    return EXIT.done;
  }

  async #tell(event: Event): Promise<void> {
    if (this.#child !== null) return await this.#runChild(this.#child, event);
    const { output } = this.#context;
    const { key, value, type, revision } = event;
    if (output.format === 'json') return await output.json(eventJson(event));
    if (output.format === 'raw') {
      const before = event.previous?.value;
      const parts = [type, key, ...(value === undefined ? [] : [value])];
      const more = this.#flags.prev === true ? [before ?? ''] : [];
      return await output.write(joinTabs([...parts, ...more]));
    }
    const style = type === 'put' ? 'green' : 'red';
    const kind = output.style(style, type.padEnd(6));
    const words = [String(revision).padStart(8), kind, keyText(key)];
    if (value !== undefined) words.push(printable(value, 'one-line'));
    if (event.previous !== undefined) {
      words.push(output.style('dim', `was ${printable(event.previous.value, 'one-line')}`));
    }
    await output.line(words.join('  '));
  }

  async #runChild(command: readonly string[], event: Event): Promise<void> {
    const { io, output, signal } = this.#context;
    const input = event.value ?? Buffer.alloc(0);
    const { exit } = await io.runChild({ command, env: environmentOf(event), input, signal });
    if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
    if (exit === 0) return;
    const what = `${keyText(event.key)} at revision ${event.revision}`;
    output.say(`${command[0]} ended with exit code ${exit} for ${what}`);
  }
}

/** A watch knows two levels; those between them are served by the stronger one. */
function watchLevel({ consistency }: Context): WatchOptions['consistency'] {
  if (consistency === 'any' || consistency === 'ap-local') return 'any';
  if (typeof consistency === 'string' || !('at' in consistency)) return 'linearizable';
  throw new BalsaError(
    'INVALID_ARGUMENT',
    'watch: --rev says where to begin, not --consistency at',
  );
}

function laggingText({ by, revision }: LaggingNotice): string {
  const who = by === 'client' ? 'what is done with the events' : 'the way from the replica';
  return `lagging: ${who} is slower than the writes; from revision ${revision + 1} on read from history`;
}

function eventJson(event: Event): Record<string, unknown> {
  const { type, key, revision, previous } = event;
  const before = previous === undefined ? {} : { previous: previousJson(previous) };
  const held =
    event.type === 'put'
      ? {
          ...jsonBytes('value', event.value),
          createRevision: event.createRevision,
          version: event.version,
          lease: event.lease,
        }
      : {};
  return { type, ...jsonBytes('key', key), revision, ...held, ...before };
}

function previousJson({ value, ...facts }: NonNullable<Event['previous']>): unknown {
  return { ...jsonBytes('value', value), ...facts };
}

function joinTabs(parts: readonly (string | Uint8Array)[]): Buffer {
  const pieces = parts.flatMap((part, i) => [Buffer.from(i === 0 ? '' : '\t'), Buffer.from(part)]);
  return Buffer.concat([...pieces, Buffer.from('\n')]);
}

/** More does not fit in one variable of every system; all of it is on stdin. */
const VARIABLE_BYTES_MAX = 32 * 1024;

function environmentOf({ type, key, value, revision }: Event): Record<string, string> {
  return {
    BALSA_EVENT_TYPE: type,
    BALSA_REVISION: String(revision),
    ...variable('BALSA_KEY', key),
    ...variable('BALSA_VALUE', value ?? Buffer.alloc(0)),
  };
}

function variable(name: string, bytes: Uint8Array): Record<string, string> {
  if (bytes.byteLength > VARIABLE_BYTES_MAX) return {};
  const text = utf8OrNull(bytes);
  // A variable ends at a zero byte.
  return text === null || text.includes('\0')
    ? { [`${name}_BASE64`]: Buffer.from(bytes).toString('base64') }
    : { [name]: text };
}
