import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { Condition, GetOpResult, Meta } from '../client/client.js';
import { compare } from '../client/compare.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { parseIndex } from './flags.js';
import { keyText, parseValue } from './key-argument.js';
import { jsonBytes } from './printable.js';

/** Flags of a write that is only done when the key is as expected; exit code 4 when it is not. */
export interface ConditionFlags {
  readonly ifVersion?: number;
  readonly ifModRevision?: number;
  readonly ifValue?: string;
  readonly ifAbsent?: boolean;
  readonly ifPresent?: boolean;
}

export function addConditionFlags(command: Command): Command {
  return command
    .option('--if-version <n>', 'only if it was put so often since it was created', parseIndex)
    .option('--if-mod-revision <n>', 'only if it was put last at this revision', parseIndex)
    .option('--if-value <value>', 'only if it holds this value')
    .option('--if-absent', 'only if there is no such key')
    .option('--if-present', 'only if there is such a key');
}

export function conditionsOf(key: string | Uint8Array, flags: ConditionFlags): Condition[] {
  const { ifVersion, ifModRevision, ifValue, ifAbsent, ifPresent } = flags;
  return [
    ...(ifVersion === undefined ? [] : [compare.version(key).equals(ifVersion)]),
    ...(ifModRevision === undefined ? [] : [compare.modRevision(key).equals(ifModRevision)]),
    ...(ifValue === undefined ? [] : [compare.value(key).equals(parseValue(ifValue))]),
    ...(ifAbsent === true ? [compare.absent(key)] : []),
    ...(ifPresent === true ? [compare.exists(key)] : []),
  ];
}

/** Tells that the key is not as expected, and how it is. */
export async function reportCondition(
  { output }: Context,
  key: string | Uint8Array,
  answer: {
    readonly current: GetOpResult<Buffer>;
    readonly revision: number;
    readonly meta: Meta;
  },
): Promise<number> {
  const { current, revision, meta } = answer;
  const { value, ...facts } = current;
  if (output.format === 'json') {
    const held = value === undefined ? null : { ...jsonBytes('value', value), ...facts };
    await output.json({
      ...jsonBytes('key', Buffer.from(key)),
      succeeded: false,
      current: held,
      revision,
      meta,
    });
  }
  const found =
    value === undefined
      ? 'there is no such key'
      : `it has version ${facts.version}, revision ${facts.modRevision}`;
  output.say(`condition failed: ${keyText(key)}: ${found}; nothing was written`);
  return EXIT.conditionFailed;
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function refuseConditions(name: string, flags: ConditionFlags): void {
  if (conditionsOf('', flags).length === 0) return;
  throw new BalsaError('INVALID_ARGUMENT', `${name}: conditions (--if-...) are for one key`);
}
