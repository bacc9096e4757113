import fc from 'fast-check';
import { forMs, who } from './draw.js';
import { faultKind } from './fault.js';

/** Disks are slow, hang, fail, fill up and rot. (What a power failure leaves belongs to the crashes.) */
export const DISK_FAULTS = {
  'slow disk': faultKind({
    arbitrary: fc.record({ who, factor: fc.constantFrom(3, 10, 40), forMs: forMs(12_000) }),
    apply(world, fault) {
      const { disk } = world.machine(fault.who);
      disk.slowness = fault.factor;
      world.until(fault.forMs, () => {
        disk.slowness = 1;
      });
    },
  }),

  'disk stall': faultKind({
    arbitrary: fc.record({ who, forMs: fc.oneof(forMs(1500), forMs(20_000)) }),
    apply(world, fault) {
      const { disk } = world.machine(fault.who);
      disk.stall();
      world.until(fault.forMs, () => disk.release());
    },
  }),

  'disk error': faultKind({
    arbitrary: fc.record({
      who,
      step: fc.constantFrom('write', 'sync', 'sync-folder', 'rename', 'remove', 'open', 'read'),
      skip: fc.integer({ min: 0, max: 5 }),
    }),
    apply(world, fault) {
      world.machine(fault.who).disk.failNext(fault.step, 'EIO', fault.skip);
    },
  }),

  'disk full': faultKind({
    arbitrary: fc.record({ who, roomBytes: fc.constantFrom(0, 4096), forMs: forMs(8000) }),
    apply(world, fault) {
      const { disk } = world.machine(fault.who);
      disk.fill(fault.roomBytes);
      world.until(fault.forMs, () => disk.makeRoom());
    },
  }),

  /** A bit of the log on disk changes. At most on as many disks as the cluster can spare. */
  'bit rot': faultKind({
    arbitrary: fc.record({
      who,
      position: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      bit: fc.integer({ min: 0, max: 7 }),
    }),
    apply(world, fault) {
      world.rot(world.machine(fault.who), fault);
    },
  }),
};
