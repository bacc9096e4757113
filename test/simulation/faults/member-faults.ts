import fc from 'fast-check';
import { FAILPOINTS } from '../../../src/base/failpoints.js';
import { downMs, who } from './draw.js';
import { faultKind } from './fault.js';

/** What operators do, and disks that are lost for good. */
export const MEMBER_FAULTS = {
  /** Leadership is handed to somebody, or to whom the leader thinks best. */
  transfer: faultKind({
    arbitrary: fc.record({ to: fc.integer({ min: -1, max: 6 }) }),
    apply(world, fault) {
      world.operator.transfer(fault.to < 0 ? null : world.machine(fault.to));
    },
  }),

  'add member': faultKind({
    arbitrary: fc.record({ promote: fc.boolean() }),
    apply(world, fault) {
      world.operator.add(fault.promote);
    },
  }),

  'remove member': faultKind({
    arbitrary: fc.record({ who }),
    apply(world, fault) {
      world.operator.remove(world.machine(fault.who));
    },
  }),

  'demote member': faultKind({
    arbitrary: fc.record({ who }),
    apply(world, fault) {
      world.operator.demote(world.machine(fault.who));
    },
  }),

  'promote member': faultKind({
    arbitrary: fc.record({ who }),
    apply(world, fault) {
      world.operator.promote(world.machine(fault.who));
    },
  }),

  /** One member leaves as another one comes. */
  'replace member': faultKind({
    arbitrary: fc.record({ who }),
    apply(world, fault) {
      world.operator.replace(world.machine(fault.who));
    },
  }),

  /** A change is begun, and its leader is gone before it is finished: another one goes on, or takes it back. */
  'change, then leader gone': faultKind({
    arbitrary: fc.record({
      change: fc.constantFrom('add', 'remove', 'demote', 'promote', 'replace'),
      who,
      fate: fc.constantFrom('crash', 'cut off', 'cut off before'),
      afterMs: fc.integer({ min: 0, max: 60 }),
      forMs: fc.integer({ min: 500, max: 8000 }),
    }),
    apply(world, { change, who: whom, fate, afterMs, forMs }) {
      const { leader, operator } = world;
      if (leader === null) return;
      if (fate === 'cut off before') world.isolate(leader, forMs);
      else if (fate === 'cut off') world.later(afterMs, () => world.isolate(leader, forMs));
      else world.later(afterMs, () => world.crash(leader, { how: 'power', downMs: forMs }));
      if (change === 'add') operator.add(true);
      else operator[change](world.machine(whom));
    },
  }),

  /** A machine loses its disk, comes back empty as a new incarnation, and takes the place of the old one. */
  'wiped disk': faultKind({
    arbitrary: fc.record({ who, downMs }),
    apply(world, fault) {
      world.wipe(world.machine(fault.who), fault.downMs);
    },
  }),

  'crash at a failpoint': faultKind({
    arbitrary: fc.record({
      who,
      name: fc.constantFrom(...FAILPOINTS),
      times: fc.integer({ min: 1, max: 3 }),
      how: fc.constantFrom<'power' | 'kill'>('power', 'kill'),
      downMs,
    }),
    apply(world, fault) {
      const machine = world.machine(fault.who);
      machine.failpoints.set(fault.name, fault.times, () => world.crash(machine, fault));
    },
  }),
};
