import type { ApFigures } from '../../src/rpc/call-protocol.js';
import type { World } from './world.js';

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
