import type { Command } from 'commander';
import { parseAddress } from '../../base/address.js';
import { BalsaError } from '../../base/errors.js';
import { checkNewcomer } from '../../client/newcomer.js';
import type { MembersStatus, ReplicaStatus } from '../../rpc/protocol.js';
import { askReplica, reasonOf } from '../ask-replica.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import {
  addChangeFlags,
  type ChangeFlags,
  inWords,
  memberCalled,
  NO_CHANGE,
  type Plan,
  runChange,
} from './change.js';

interface AddFlags extends ChangeFlags {
  readonly promote: boolean;
}

export function addCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'add',
    summary: 'Let a replica in that waits with start --join; it votes when it has caught up',
    examples: [
      'balsa cluster add n4 10.0.0.4:7001',
      'balsa cluster add n4 10.0.0.4:7001 --no-promote    a learner: it has the data, and no vote',
      'balsa cluster add n4 10.0.0.4:7001 --no-wait       cluster members shows how it goes on',
      'balsa cluster add n4 10.0.0.9:7001                 of a member that has moved: its new address',
    ],
  })
    .argument('<name>', 'what it is called (its --name)')
    .argument('<host:port>', 'where members and clients reach it')
    .option('--no-promote', 'it stays a learner until cluster promote');
  return onRun<AddFlags>(addChangeFlags(command), runtime, runAdd);
}

export function replaceCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'replace',
    summary: 'Put new replicas in the place of old ones, all in one change',
    examples: [
      'balsa cluster replace n2 n4 10.0.0.4:7001    n4 gets the vote when it has caught up; n2 leaves',
      'balsa cluster replace n2 n4 10.0.0.4:7001 n3 n5 10.0.0.5:7001',
    ],
  }).argument('<old-new-address...>', 'triples of OLD NEW HOST:PORT');
  return onRun<ChangeFlags>(addChangeFlags(command), runtime, (context, _args, flags) =>
    runReplace(context, command.args, flags),
  );
}

/** A replica that waits to be let in, as it says itself. */
interface Newcomer {
  readonly name: string;
  readonly address: string;
  readonly incarnation: string;
  readonly status: ReplicaStatus;
}

async function runAdd(
  context: Context,
  [name = '', address = '']: readonly (string | undefined)[],
  flags: AddFlags,
): Promise<ExitCode> {
  const one = await meet(context, { name, address });
  await checkClusters(context, [one]);
  return await runChange(context, flags, (members) => planAdd(members, one, flags.promote));
}

function planAdd(members: MembersStatus, one: Newcomer, promote: boolean): Plan {
  const { name, address, incarnation } = one;
  const awaited = promote ? [{ name, incarnation }] : [];
  const place = `${name} at ${address}`;
  const decided = `${place} is a learner now, and gets a vote when it has caught up`;
  const complete = promote ? `${name} has a vote` : `${place} is a learner now`;
  const there = members.members.find((member) => member.name === name);
  if (there === undefined) {
    const add = [{ name, incarnation, address, promote, replaces: null }];
    return { change: { ...NO_CHANGE, add }, decided, complete, awaited };
  }
  if (there.incarnation !== incarnation) {
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `${name} is a member already, with another disk (${there.incarnation}, not ${incarnation}):` +
        ` balsa cluster replace ${name} ${name} ${address} puts this one in its place`,
    );
  }
  if (there.address !== address) {
    const isToVote = there.role !== 'learner' || there.promote;
    const add = [{ name, incarnation, address, promote: isToVote, replaces: there.replaces }];
    const moved = `${name} is reached at ${address} now`;
    return { change: { ...NO_CHANGE, add }, decided: moved, complete: moved, awaited: [] };
  }
  const isThere = there.role !== 'learner' || there.promote || !promote;
  if (!isThere) return { change: { ...NO_CHANGE, promote: [name] }, decided, complete, awaited };
  const what = there.role === 'learner' ? 'a learner' : 'a voter';
  const isOnItsWay = there.role === 'learner' && there.promote && promote;
  return {
    change: null,
    decided,
    complete: isOnItsWay ? complete : `${name} is ${what} already`,
    awaited: isOnItsWay ? awaited : [],
  };
}

interface Pair {
  readonly old: string;
  readonly one: Newcomer;
}

async function runReplace(
  context: Context,
  args: readonly string[],
  flags: ChangeFlags,
): Promise<ExitCode> {
  if (args.length % 3 !== 0) {
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `cluster replace: give triples of OLD NEW HOST:PORT; found ${args.length} words`,
    );
  }
  const pairs: Pair[] = [];
  for (let i = 0; i < args.length; i += 3) {
    const [old = '', name = '', address = ''] = args.slice(i, i + 3);
    pairs.push({ old, one: await meet(context, { name, address }) });
  }
  await checkClusters(
    context,
    pairs.map(({ one }) => one),
  );
  return await runChange(context, flags, (members) => planReplace(members, pairs));
}

function planReplace(members: MembersStatus, pairs: readonly Pair[]): Plan {
  const names = pairs.map(({ old, one }) => `${old} by ${one.name}`);
  const awaited = pairs.map(({ one }) => ({ name: one.name, incarnation: one.incarnation }));
  const newcomers = inWords(awaited.map(({ name }) => name));
  const leavers = inWords(pairs.map(({ old }) => old));
  const decided =
    pairs.length === 1
      ? `${newcomers} is a learner now, and gets the vote of ${leavers} when it has caught up`
      : `${newcomers} are learners now, and get the votes of ${leavers} when all have caught up`;
  const plan = { decided, complete: `replaced ${inWords(names)}`, awaited };
  const isUnderWay = awaited.every(({ name, incarnation }) =>
    members.members.some((one) => one.name === name && one.incarnation === incarnation),
  );
  if (isUnderWay) return { ...plan, change: null };
  const add = pairs.map(({ old, one }) => {
    if (memberCalled(members, old).role === 'learner') {
      throw new BalsaError(
        'INVALID_ARGUMENT',
        `${old} has no vote that ${one.name} could take: balsa cluster add ${one.name} ${one.address},` +
          ` then balsa cluster remove ${old}`,
      );
    }
    const { name, incarnation, address } = one;
    return { name, incarnation, address, promote: true, replaces: old };
  });
  return { ...plan, change: { ...NO_CHANGE, add } };
}

// ---------------------------------------------------------------------------------------------
// Newcomers

/**
 * Asks the replica who it is: a member is its name and its disk.
 * @throws BalsaError `INVALID_ARGUMENT`, `UNREACHABLE`, `MEMBER_MISMATCH`
 */
async function meet(
  context: Context,
  { name, address }: { readonly name: string; readonly address: string },
): Promise<Newcomer> {
  const parsed = parseAddress(address);
  if (!parsed.ok) throw new BalsaError('INVALID_ARGUMENT', parsed.problem);
  const answer = await askReplica(context, address);
  if (answer.status === null) {
    throw new BalsaError(
      'UNREACHABLE',
      `${name} does not answer at ${address} (${reasonOf(answer)}); start it there with:` +
        ` balsa start --name ${name} --join --advertise ${address}`,
      { cause: answer.error },
    );
  }
  checkName(name, address, answer.status);
  return { name, address, incarnation: answer.status.incarnation, status: answer.status };
}

/** @throws BalsaError `CLUSTER_MISMATCH` */
async function checkClusters(context: Context, newcomers: readonly Newcomer[]): Promise<void> {
  const { signal } = context;
  const own = await context.withClient((client) => client.status({ signal }));
  for (const { status, address } of newcomers) checkNewcomer(status, address, own);
}

function checkName(name: string, address: string, status: ReplicaStatus): void {
  if (status.replica === name) return;
  throw new BalsaError(
    'MEMBER_MISMATCH',
    `the replica at ${address} is called ${status.replica}, not ${name}`,
    { details: { address, found: status.replica, expected: name } },
  );
}
