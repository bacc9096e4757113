import { type Command, InvalidArgumentError } from 'commander';
import { DURATION_FORM, formatDuration, parseDurationMs } from '../base/duration.js';
import { nearest } from '../base/suggest.js';
import type { StoreSettings } from '../client/client.js';
import { newCommand, newGroup, onRun, type Runtime } from './command.js';
import { EXIT } from './exit-codes.js';
import { type Fact, printFacts } from './facts.js';
import { parseIndex, parseSize } from './flags.js';
import type { Output } from './output.js';
import { printDone } from './print-done.js';
import { formatCount } from './progress.js';
import { bytesText } from './snapshot/bytes-text.js';

type Name = keyof StoreSettings;

interface Setting {
  readonly parse: (text: string) => number;
  readonly text: (value: number) => string;
}

const SETTINGS: { readonly [N in Name]: Setting } = {
  historyMs: { parse: parseTimeOrMs, text: formatDuration },
  historyRevisions: { parse: parseIndex, text: formatCount },
  spaceQuotaBytes: { parse: parseSize, text: bytesText },
};
const NAMES = Object.keys(SETTINGS) as Name[];

/** Settings of the whole store, the same at all replicas. */
export function settingsCommand(runtime: Runtime): Command {
  return newGroup('settings', 'Show and change what the whole store keeps, and how much', [
    getCommand(runtime),
    setCommand(runtime),
  ]);
}

function getCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'get',
    summary: 'Show the settings',
    examples: ['balsa settings get', 'balsa settings get -o json'],
  });
  return onRun(command, runtime, async (context) => {
    const { output, signal } = context;
    const settings = await context.withClient((client) => client.settings.get({ signal }));
    if (output.format === 'json') await output.json(settings);
    else await printFacts(output, settingsFacts(output, settings));
    return EXIT.done;
  });
}

/** The settings in words, or as numbers in a pipe. */
export function settingsFacts(output: Output, settings: StoreSettings): Fact[] {
  return NAMES.map((name) => {
    const value = settings[name];
    if (output.format !== 'table') return [name, String(value)];
    return [name, value === 0 ? 'no bound' : SETTINGS[name].text(value)];
  });
}

function setCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'set',
    summary: 'Change settings; those that are not named stay',
    examples: [
      'balsa settings set historyMs=1h             history older than an hour is compacted',
      'balsa settings set historyRevisions=100000  so many revisions are kept; 0: not by number',
      'balsa settings set spaceQuotaBytes=8GiB     beyond it puts are refused (NO_SPACE)',
    ],
  }).argument('<name=value...>', NAMES.join(', '), collectSettings);
  return onRun(command, runtime, async (context, [given]) => {
    const { output, signal } = context;
    const change = given as unknown as Partial<StoreSettings>;
    const { revision } = await context.withClient((client) =>
      client.settings.set(change, { signal }),
    );
    await printDone(output, { json: { ...change, revision }, revision, word: 'set' });
    return EXIT.done;
  });
}

function collectSettings(
  text: string,
  before: Partial<StoreSettings> | undefined,
): Partial<StoreSettings> {
  const equals = text.indexOf('=');
  const given = text.slice(0, Math.max(0, equals));
  const name = NAMES.find((known) => known === given);
  if (name === undefined) {
    const near = nearest(equals === -1 ? text : given, NAMES);
    const hint = near === null ? '' : ` (Did you mean ${near}=...?)`;
    throw new InvalidArgumentError(`It must be NAME=VALUE, of ${NAMES.join(', ')}.${hint}`);
  }
  return { ...before, [name]: SETTINGS[name].parse(text.slice(equals + 1)) };
}

/** With a unit, or in milliseconds as the name says. */
function parseTimeOrMs(text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : parseDurationMs(text);
  if (value !== null) return Math.ceil(value);
  throw new InvalidArgumentError(`It must be ${DURATION_FORM}; 0: no bound.`);
}
