import type { SnapshotPair } from '../../src/base/snapshot-codec.js';
import type { ApFigures } from '../../src/rpc/call-protocol.js';
import { Violation } from './scheduler.js';
import type { World } from './world.js';

/** Far beyond what it takes to read a state that is in memory. */
const READ_MS = 10_000;

/** Do all members with an intact disk hold the same, with nothing left to apply? */
export function allAgree(world: World): boolean {
  const { intact } = world;
  const first = intact[0]?.replica?.machine;
  return intact.every(({ replica }) => {
    if (replica === null || first === undefined) return false;
    const { machine, node } = replica;
    return (
      machine.appliedIndex === first.appliedIndex &&
      machine.stateHash === first.stateHash &&
      node.lastIndex === machine.appliedIndex
    );
  });
}

/**
 * Members that agree have applied the same entries: then they hold the same records, to the byte, the history and what the
 * sweep has left of it included. Their hash does not tell: it is a record of its own, which a snapshot brings along.
 * @throws Violation
 */
export async function checkRecords({ scheduler, intact }: World): Promise<void> {
  const all = await scheduler.until(
    'Same Records, all that members hold',
    Promise.all(
      intact.map(async (machine) => ({ id: machine.id, records: await machine.records() })),
    ),
    READ_MS,
  );
  const [first, ...others] = all.map(({ id, records }) => ({ id, records: textOf(records) }));
  for (const other of others) {
    if (first !== undefined) checkSame(first, other);
  }
}

interface Records {
  readonly id: string;
  /** As text that can be read: values by key. */
  readonly records: ReadonlyMap<string, string>;
}

function textOf(records: readonly SnapshotPair[]): Map<string, string> {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
  return new Map(records.map(([key, value]) => [text(key), text(value)]));
}

function checkSame(one: Records, other: Records): void {
  const keys = [...new Set([...one.records.keys(), ...other.records.keys()])];
  const differing = keys.filter((key) => one.records.get(key) !== other.records.get(key));
  const [key] = differing;
  if (key === undefined) return;
  const held = ({ id, records }: Records): string =>
    `${JSON.stringify(records.get(key) ?? null)} at ${id}`;
  throw new Violation(
    `Same Records: of ${keys.length} records ${differing.length} differ though all hashes are equal: ` +
      `${JSON.stringify(key)} is ${held(one)} and ${held(other)}`,
  );
}

function describeDeltas(ap: ApFigures | null): string {
  if (ap === null || ap.pending === 0) return '';
  return `, ${ap.pending} deltas not merged (${ap.refusal ?? 'not refused'})`;
}

/** For the text of a violation. */
export function describeMembers(world: World): string {
  const members = world.machines.map(({ id, replica, isLost, isRemoved }) => {
    if (replica === null) return `${id} ${isLost ? 'lost' : isRemoved ? 'removed' : 'down'}`;
    const { node, machine } = replica;
    return (
      `${id} ${node.role} of term ${node.term}, log ${node.logStart.index}..${node.lastIndex},` +
      ` committed ${node.commitIndex}, applied ${machine.appliedIndex},` +
      ` state ${machine.stateHash.toString(16)}, leader ${node.leader}` +
      describeDeltas(replica.calls.apStatus)
    );
  });
  const configuration = JSON.stringify(world.invariants.committedConfiguration);
  return [...members, `configuration ${configuration}`].join('\n  ');
}
