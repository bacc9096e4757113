import { type Command, Option } from 'commander';
import { formatDuration } from '../../base/duration.js';
import { asBalsaError, BalsaError, type ErrorCode } from '../../base/errors.js';
import { nearest } from '../../base/suggest.js';
import type {
  AdminResult,
  MemberStatus,
  MembersStatus,
  ReplicaStatus,
} from '../../rpc/protocol.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { parseIndex } from '../flags.js';
import { formatCount, Progress } from '../progress.js';
import type { MembersChange, StoreClient } from '../store-client.js';
import { printMembers } from './show.js';

/** What every command that changes the members does: plan, ask, wait for the end, tell. */

export interface ChangeFlags {
  readonly expectIndex?: number;
  readonly wait: boolean;
}

export function addChangeFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--expect-index <n>',
        'only if the members are those of this index (compare-and-set; see cluster members)',
      ).argParser(parseIndex),
    )
    .option('--no-wait', 'return when the change is decided, not when it is complete');
}

/** What is to be done, given the members as they are. */
export interface Plan {
  /** `null`: it is so already. */
  readonly change: Omit<MembersChange, 'expectedIndex'> | null;
  /** Told when the change is decided. */
  readonly decided: string;
  /** Told at the end, or when there is nothing to do. */
  readonly complete: string;
  /** Members that get their vote by themselves: the end is when they have it. */
  readonly awaited: readonly Awaited[];
}

/** A learner that gets a vote, by name and disk. */
interface Awaited {
  readonly name: string;
  readonly incarnation: string;
}

export const NO_CHANGE: Omit<MembersChange, 'expectedIndex'> = {
  add: [],
  promote: [],
  demote: [],
  remove: [],
};

const RETRY_MS = 200;
const POLL_MS = 500;
/** After this long without an answer, or without a sign of the newcomer, there is nothing to wait for. */
const SILENCE_MS_MAX = 60_000;

/**
 * Plans a change for the members as they are. It is asked again when they have changed meanwhile;
 * `isTried`: what it asks for may have been done by an earlier attempt.
 */
export type Planner = (members: MembersStatus, isTried: boolean) => Plan;

export async function runChange(
  context: Context,
  flags: ChangeFlags,
  plan: Planner,
): Promise<ExitCode> {
  return await context.withClient(async (client) => {
    const decided = await decide(context, client, { flags, plan });
    const result = flags.wait ? await waitForVotes(context, client, decided) : decided.result;
    if (flags.wait || decided.plan.awaited.length === 0) {
      context.output.say(decided.plan.complete);
    }
    await printMembers(context, result);
    return EXIT.done;
  });
}

interface Decided {
  readonly plan: Plan;
  readonly result: AdminResult;
}

/** Errors after which the same wish may be granted, for the members as they are then. */
const RACES: readonly ErrorCode[] = ['CONFIGURATION_CONFLICT', 'CHANGE_PENDING'];

/**
 * Asks until the change is decided. Without `--expect-index` a change by somebody else in between (a
 * learner that got its vote, say) is no reason to fail: the wish is looked at anew. Neither is an
 * outcome that is not known: a change is never made twice, since its index has passed.
 */
async function decide(
  context: Context,
  client: StoreClient,
  wish: { readonly flags: ChangeFlags; readonly plan: Planner },
): Promise<Decided> {
  const { io, signal, options, output } = context;
  const { expectIndex } = wish.flags;
  const deadlineMs = io.nowMs() + (options.timeout || Number.POSITIVE_INFINITY);
  let isTried = false;
  for (;;) {
    const before = await client.cluster.members({ signal });
    // Before anything is made of them: what it was to be done to may be gone, or done by somebody else.
    if (expectIndex !== undefined && !isTried) checkIndex(before.members, expectIndex);
    const plan = wish.plan(before.members, isTried);
    if (plan.change === null && before.members.committed) return { plan, result: before };
    const expectedIndex = expectIndex ?? before.members.index;
    try {
      if (plan.change === null) throw notCommitted(before.members);
      const result = await client.cluster.change({ expectedIndex, ...plan.change }, { signal });
      if (plan.awaited.length > 0) output.say(plan.decided);
      return { plan, result };
    } catch (error) {
      const { code, outcome } = asBalsaError(error);
      isTried ||= outcome === 'unknown';
      const mayTryAgain = outcome === 'unknown' || RACES.includes(code);
      const isFinal = code === 'CONFIGURATION_CONFLICT' && expectIndex !== undefined && !isTried;
      if (!mayTryAgain || isFinal || signal.aborted || io.nowMs() >= deadlineMs) throw error;
      await io.sleep(RETRY_MS);
      signal.throwIfAborted();
    }
  }
}

/** @throws BalsaError `CONFIGURATION_CONFLICT` */
function checkIndex({ index }: MembersStatus, expectedIndex: number): void {
  if (index === expectedIndex) return;
  const message = `the members have changed: their index is ${index}, not ${expectedIndex}`;
  const details = { index, expectedIndex };
  throw new BalsaError('CONFIGURATION_CONFLICT', message, { outcome: 'not-applied', details });
}

/** The members are as wished, and may yet be again what they were before. */
function notCommitted({ index }: MembersStatus): BalsaError {
  const message = `the members of index ${index} are not committed yet`;
  return new BalsaError('CHANGE_PENDING', message, { outcome: 'unknown' });
}

/** Waits until those who are to vote do, and no joint configuration is left. */
async function waitForVotes(
  context: Context,
  client: StoreClient,
  { plan, result }: Decided,
): Promise<AdminResult> {
  const { io, signal, output } = context;
  let now = result;
  let heardMs = io.nowMs();
  const seenMs = new Map(plan.awaited.map(({ name }) => [name, heardMs]));
  const progress = new Progress(io, 'entries', null);
  try {
    while (!isComplete(now.members, plan.awaited)) {
      checkStillThere(now.members, plan.awaited);
      await io.sleep(POLL_MS);
      signal.throwIfAborted();
      try {
        const status = await client.status({ signal });
        progress.draw(() => progressLine(status, plan.awaited));
        now = await client.cluster.members({ signal });
        heardMs = io.nowMs();
        for (const name of seenNames(status, plan.awaited)) seenMs.set(name, heardMs);
      } catch (error) {
        // The change is in the log: a change of leaders does not end it.
        const { retryable, message } = asBalsaError(error);
        if (!retryable || io.nowMs() - heardMs > SILENCE_MS_MAX) throw error;
        progress.draw(() => `waiting: ${message}`);
      }
      for (const [name, ms] of seenMs) if (heardMs - ms > SILENCE_MS_MAX) throw unseen(name);
    }
    return now;
  } finally {
    progress.clear();
    if (signal.aborted) output.say('the change is decided; it goes on without this command');
  }
}

function isComplete(members: MembersStatus, awaited: readonly Awaited[]): boolean {
  if (awaited.length === 0) return true;
  if (members.joint) return false;
  return awaited.every((one) => find(members, one)?.role === 'voter');
}

function checkStillThere(members: MembersStatus, awaited: readonly Awaited[]): void {
  for (const one of awaited) {
    const member = find(members, one);
    if (member?.role === 'voter' || member?.promote === true) continue;
    const what = member === undefined ? 'was removed' : 'shall not get a vote any more';
    throw new BalsaError('CONFIGURATION_CONFLICT', `${one.name} ${what}, by another change`);
  }
}

function find(members: MembersStatus, { name, incarnation }: Awaited): MemberStatus | undefined {
  return members.members.find(
    (member) => member.name === name && member.incarnation === incarnation,
  );
}

/** Those whom the leader hears; only the leader can tell. */
function seenNames(status: ReplicaStatus, awaited: readonly Awaited[]): string[] {
  const names = awaited.map(({ name }) => name);
  if (status.role !== 'leader') return names;
  return names.filter((name) => status.followers.some((one) => one.name === name && one.active));
}

function unseen(name: string): BalsaError {
  return new BalsaError(
    'UNREACHABLE',
    `the leader has heard nothing of ${name} for ${formatDuration(SILENCE_MS_MAX)}. It is a learner, and gets its` +
      ` vote when it comes; balsa cluster remove ${name} takes it out again`,
  );
}

/** `n4 has 1,234 of 5,678 entries (21%)`, for each that is waited for. */
export function progressLine(status: ReplicaStatus, awaited: readonly { name: string }[]): string {
  const total = Math.max(1, status.lastIndex);
  const parts = awaited.map(({ name }) => {
    const follower = status.followers.find((one) => one.name === name);
    if (follower === undefined) return `${name}: no word yet`;
    if (!follower.active) return `${name} does not answer`;
    if (follower.state === 'snapshot') return `${name} gets a snapshot`;
    const percent = Math.floor((Math.min(follower.matchIndex, total) / total) * 100);
    const counts = `${formatCount(follower.matchIndex)} of ${formatCount(total)}`;
    return `${name} has ${counts} entries (${percent}%)`;
  });
  return parts.join(', ');
}

// ---------------------------------------------------------------------------------------------
// Members by name

/** The member of this name, or of this `name.incarnation`. */
export function findMember(members: MembersStatus, name: string): MemberStatus | null {
  const found = members.members.filter(
    (member) => member.name === name || `${member.name}.${member.incarnation}` === name,
  );
  // While a disk takes the place of another of the same name there are two.
  return found.find(({ role }) => role !== 'learner') ?? found[0] ?? null;
}

/**
 * The same.
 * @throws BalsaError `INVALID_ARGUMENT` when there is none
 */
export function memberCalled(members: MembersStatus, name: string): MemberStatus {
  const member = findMember(members, name);
  if (member !== null) return member;
  const names = [...new Set(members.members.map((one) => one.name))].sort();
  const meant = nearest(name, names);
  const hint = meant === null ? '' : ` (did you mean ${meant}?)`;
  throw new BalsaError(
    'INVALID_ARGUMENT',
    `no member is called ${name}; there are ${names.join(', ')}${hint}`,
    { details: { name, members: names } },
  );
}

/** `n1`, `n1 and n2`, `n1, n2 and n3`. */
export function inWords(names: readonly string[]): string {
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
