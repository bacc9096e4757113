import fc from 'fast-check';
import type { Machine } from '../machine.js';
import { forMs, who } from './draw.js';
import { faultKind, LEADER } from './fault.js';

const lasts = forMs(12_000);

/** Messages get lost, late, doubled; places cannot reach each other. */
export const NETWORK_FAULTS = {
  /** All links at once. */
  weather: faultKind({
    arbitrary: fc.record({
      loss: fc.integer({ min: 0, max: 40 }),
      duplication: fc.integer({ min: 0, max: 40 }),
      latencyMs: fc.constantFrom(1, 20, 100, 400),
      forMs: lasts,
    }),
    apply(world, fault) {
      const { network, options } = world;
      network.weather = {
        loss: fault.loss / 100,
        duplication: fault.duplication / 100,
        streamBreak: options.weather.streamBreak,
        latencyMs: fault.latencyMs,
      };
      world.until(fault.forMs, () => {
        network.weather = options.weather;
      });
    },
  }),

  /** One machine hears none, or none hear it, or both. */
  isolate: faultKind({
    arbitrary: fc.record({
      who,
      direction: fc.constantFrom('both', 'both', 'from it', 'to it'),
      forMs: lasts,
    }),
    apply(world, fault) {
      const one = world.machine(fault.who).place;
      for (const { place } of world.machines) {
        if (place === one) continue;
        if (fault.direction !== 'to it') world.cut(one, place, fault.forMs);
        if (fault.direction !== 'from it') world.cut(place, one, fault.forMs);
      }
    },
  }),

  /** Two sides; the bits of `side` say who is where. */
  split: faultKind({
    arbitrary: fc.record({ side: fc.integer({ min: 1, max: 62 }), forMs: lasts }),
    apply(world, fault) {
      const isLeft = (place: number): boolean => ((fault.side >> place) & 1) === 1;
      for (const a of world.machines) {
        for (const b of world.machines) {
          if (isLeft(a.place) !== isLeft(b.place)) world.cut(a.place, b.place, fault.forMs);
        }
      }
    },
  }),

  /**
   * The leader on one side with some of the clients, the others on the other side. Connections between them
   * are reset, so that all know at once: elections come quickly, and clients move.
   */
  'split with clients': faultKind({
    arbitrary: fc.record({ side: fc.nat({ max: 63 }), clients: fc.nat({ max: 15 }), forMs: lasts }),
    apply(world, fault) {
      const leader = world.machine(LEADER);
      const isLeft = (machine: Machine): boolean =>
        machine === leader || ((fault.side >> machine.place) & 1) === 1;
      const places = (left: boolean): number[] => [
        ...world.machines.filter((machine) => isLeft(machine) === left).map(({ place }) => place),
        ...Array.from({ length: world.options.clients }, (_, i) => i)
          .filter((i) => (((fault.clients >> i) & 1) === 1) === left)
          .map((i) => world.clientPlace(i)),
      ];
      for (const a of places(true)) {
        for (const b of places(false)) {
          world.cut(a, b, fault.forMs);
          world.cut(b, a, fault.forMs);
          world.network.breakStreamsBetween(a, b);
        }
      }
      for (const a of world.machines) {
        for (const b of world.machines) if (isLeft(a) !== isLeft(b)) world.hint(a, b);
      }
      // Two leaders for a moment: what the clients of each see in it must fit together.
      const { electionTicks, tickMs } = world.options;
      world.hurry(3 * electionTicks * tickMs, 15);
    },
  }),

  /** Two sides, and one that reaches both. */
  bridge: faultKind({
    arbitrary: fc.record({ who, side: fc.integer({ min: 1, max: 62 }), forMs: lasts }),
    apply(world, fault) {
      const bridge = world.machine(fault.who).place;
      const sideOf = (place: number): number => (place === bridge ? 2 : (fault.side >> place) & 1);
      for (const a of world.machines) {
        for (const b of world.machines) {
          if (sideOf(a.place) + sideOf(b.place) === 1) world.cut(a.place, b.place, fault.forMs);
        }
      }
    },
  }),

  /** Each reaches only its neighbours: everybody sees another majority. */
  ring: faultKind({
    arbitrary: fc.record({ forMs: lasts }),
    apply(world, fault) {
      const count = world.machines.length;
      for (const a of world.machines) {
        for (const b of world.machines) {
          const apart = Math.abs(a.place - b.place);
          if (apart > 1 && apart < count - 1) world.cut(a.place, b.place, fault.forMs);
        }
      }
    },
  }),

  /** A single link, in one direction or both. */
  link: faultKind({
    arbitrary: fc.record({ from: who, to: who, isBothWays: fc.boolean(), forMs: lasts }),
    apply(world, fault) {
      const from = world.machine(fault.from).place;
      const to = world.machine(fault.to).place;
      if (from === to) return;
      world.cut(from, to, fault.forMs);
      if (fault.isBothWays) world.cut(to, from, fault.forMs);
    },
  }),

  /** Cut and mended so often that nothing settles. */
  'flip-flop': faultKind({
    arbitrary: fc.record({
      who,
      times: fc.integer({ min: 2, max: 12 }),
      everyMs: fc.integer({ min: 50, max: 1500 }),
    }),
    apply(world, fault) {
      const one = world.machine(fault.who).place;
      for (let time = 0; time < fault.times; time += 1) {
        world.later(time * 2 * fault.everyMs, () => {
          for (const { place } of world.machines) {
            if (place === one) continue;
            world.cut(one, place, fault.everyMs);
            world.cut(place, one, fault.everyMs);
          }
        });
      }
    },
  }),

  'slow link': faultKind({
    arbitrary: fc.record({
      from: who,
      to: who,
      delayMs: fc.constantFrom(20, 100, 500, 2500),
      forMs: lasts,
    }),
    apply(world, fault) {
      const from = world.machine(fault.from).place;
      const to = world.machine(fault.to).place;
      world.until(fault.forMs, world.network.slow(from, to, fault.delayMs));
    },
  }),

  /** A client cannot reach a replica, which the others can. */
  'client cut': faultKind({
    arbitrary: fc.record({
      client: fc.nat({ max: 5 }),
      who,
      direction: fc.constantFrom('both', 'from it', 'to it'),
      forMs: lasts,
    }),
    apply(world, fault) {
      const client = world.clientPlace(fault.client);
      const { place } = world.machine(fault.who);
      if (fault.direction !== 'to it') world.cut(client, place, fault.forMs);
      if (fault.direction !== 'from it') world.cut(place, client, fault.forMs);
    },
  }),

  /** RST: all client streams of a replica break. */
  'streams broken': faultKind({
    arbitrary: fc.record({ who }),
    apply(world, fault) {
      world.network.breakStreams(world.machine(fault.who).address);
    },
  }),

  /** Replicas are told that their connection to another one is gone, which may or may not be so. */
  'false alarm': faultKind({
    arbitrary: fc.record({ who }),
    apply(world, fault) {
      world.tellDisconnected(world.machine(fault.who));
    },
  }),
};
