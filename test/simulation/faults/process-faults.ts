import fc from 'fast-check';
import { downMs, forMs, who } from './draw.js';
import { faultKind } from './fault.js';

const how = fc.constantFrom<'power' | 'kill'>('power', 'power', 'kill');

/** Processes die, are stopped, and their clocks go wrong. */
export const PROCESS_FAULTS = {
  crash: faultKind({
    arbitrary: fc.record({ who, how, downMs }),
    apply(world, fault) {
      world.crash(world.machine(fault.who), fault);
    },
  }),

  /** At the n-th step on its disk from now: in the middle of what it was doing. */
  'crash at a disk step': faultKind({
    arbitrary: fc.record({ who, how, downMs, steps: fc.integer({ min: 1, max: 30 }) }),
    apply(world, fault) {
      const machine = world.machine(fault.who);
      machine.crashAtDiskStep(fault.steps, () => world.crash(machine, fault));
    },
  }),

  /** At the n-th message that it sends: those before are on their way, those behind are not. */
  'crash at a message': faultKind({
    arbitrary: fc.record({ who, how, downMs, messages: fc.integer({ min: 1, max: 30 }) }),
    apply(world, fault) {
      const machine = world.machine(fault.who);
      machine.crashAtMessage(fault.messages, () => world.crash(machine, fault));
    },
  }),

  /** Again and again while it recovers. */
  'crash storm': faultKind({
    arbitrary: fc.record({
      who,
      how,
      times: fc.integer({ min: 2, max: 6 }),
      betweenMs: fc.integer({ min: 1, max: 400 }),
    }),
    apply(world, fault) {
      const machine = world.machine(fault.who);
      for (let time = 0; time < fault.times; time += 1) {
        world.later(time * 2 * fault.betweenMs, () =>
          world.crash(machine, { how: fault.how, downMs: fault.betweenMs }),
        );
      }
    },
  }),

  'crash of all': faultKind({
    arbitrary: fc.record({ how, downMs, apartMs: fc.integer({ min: 0, max: 500 }) }),
    apply(world, fault) {
      world.machines.forEach((machine, i) => {
        const more = { how: fault.how, downMs: fault.downMs + i * fault.apartMs };
        world.later((i * fault.apartMs) / 4, () => world.crash(machine, more));
      });
    },
  }),

  /** SIGTERM. */
  stop: faultKind({
    arbitrary: fc.record({ who, downMs }),
    apply(world, fault) {
      world.stop(world.machine(fault.who), fault.downMs);
    },
  }),

  /** SIGSTOP, and SIGCONT later: messages wait, timers are late. */
  pause: faultKind({
    arbitrary: fc.record({ who, forMs: forMs(10_000) }),
    apply(world, fault) {
      const { time } = world.machine(fault.who);
      time.pause();
      world.until(fault.forMs, () => time.resume());
    },
  }),

  'clock drift': faultKind({
    arbitrary: fc.record({
      who,
      percent: fc.integer({ min: 90, max: 110 }),
      forMs: forMs(40_000),
    }),
    apply(world, fault) {
      const { time } = world.machine(fault.who);
      const most = world.options.driftPercentMax;
      time.setRate(1 + Math.max(-most, Math.min(most, fault.percent - 100)) / 100);
      world.until(fault.forMs, () => time.setRate(1));
    },
  }),

  'clock jump': faultKind({
    arbitrary: fc.record({
      who,
      byMs: fc.oneof(
        fc.integer({ min: -300_000, max: 300_000 }),
        fc.integer({ min: -5_000_000, max: 5_000_000 }),
      ),
    }),
    apply(world, fault) {
      world.machine(fault.who).time.jumpWall(fault.byMs);
    },
  }),
};
