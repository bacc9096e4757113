import type { BalsaError } from '../../src/base/errors.js';
import type { Configuration, MemberId } from '../../src/raft/types.js';
import type { AdminCommand } from '../../src/rpc/protocol.js';
import { toConfigurationChange } from '../../src/server/member-change.js';
import { incarnationOf, nameOf } from '../../src/server/member-id.js';
import type { Machine } from './machine.js';
import { isQuorum } from './quorums.js';
import type { World } from './world.js';

type ChangeMembers = Extract<AdminCommand, { op: 'change-members' }>;

/** How often and how long an operator tries. */
const AGAIN_MS = 500;
const GIVES_UP_MS = 15_000;
const VOTERS_MAX = 5;

/** Changes the members as `balsa cluster` does, at whoever leads, and tries again as an operator would. */
export class Operator {
  readonly #world: World;
  /** Changes that are being tried. */
  #underWay = 0;
  /** Names of machines that somebody is adding. */
  readonly #joining = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  transfer(to: Machine | null): void {
    const replica = this.#world.leader?.replica;
    this.#count('transfer asked');
    replica?.transfer(to?.id ?? null, (error) => this.#told('transfer', error));
  }

  /** A machine that is no member joins. */
  add(promote: boolean): void {
    const machine = this.#joiner();
    if (machine === null) return;
    const newcomer = this.#newcomer(machine);
    this.#change('add', () => newcomer({ promote, replaces: null }));
  }

  remove(machine: Machine): void {
    const { id } = machine;
    this.#change('remove', (configuration) => (names(configuration, id) ? { remove: [id] } : null));
  }

  demote(machine: Machine): void {
    const { id } = machine;
    this.#change('demote', ({ voters }) => (voters.includes(id) ? { demote: [id] } : null));
  }

  promote(machine: Machine): void {
    const { id } = machine;
    this.#change('promote', ({ learners }) => (learners.includes(id) ? { promote: [id] } : null));
  }

  replace(old: Machine): void {
    const machine = this.#joiner();
    const { id } = old;
    if (machine === null) return;
    const newcomer = this.#newcomer(machine);
    this.#change('replace', (configuration) =>
      names(configuration, id) ? newcomer({ promote: true, replaces: id }) : null,
    );
  }

  /** A machine came back with a new incarnation: it takes the place of the old one. */
  reseed(machine: Machine, former: MemberId): void {
    const newcomer = this.#newcomer(machine);
    this.#change(
      'reseed',
      (configuration) =>
        names(configuration, former)
          ? newcomer({ promote: configuration.voters.includes(former), replaces: former })
          : null,
      Number.POSITIVE_INFINITY,
    );
  }

  /** The machine as it is now; nobody any more when it gets another disk, or was removed since. */
  #newcomer(machine: Machine) {
    const { id, name, address } = machine;
    const { invariants } = this.#world;
    return (more: {
      promote: boolean;
      replaces: MemberId | null;
    }): Partial<ChangeMembers> | null =>
      machine.id !== id || invariants.wasMember(id)
        ? null
        : { add: [{ name, incarnation: incarnationOf(id), address, ...more }] };
  }

  /** A machine that is free, started with a fresh disk. */
  #joiner(): Machine | null {
    const { machines, invariants } = this.#world;
    const free = machines.find(
      ({ name }) =>
        !this.#joining.has(name) &&
        invariants.activeConfigurations.every((c) => !allOf(c).some((m) => nameOf(m) === name)),
    );
    if (free === undefined) return null;
    free.wipe();
    free.start();
    this.#joining.add(free.name);
    this.#world.later(GIVES_UP_MS + AGAIN_MS, () => this.#joining.delete(free.name));
    return free;
  }
  #change(
    what: string,
    make: (configuration: Configuration) => Partial<ChangeMembers> | null,
    givesUpMs = GIVES_UP_MS,
  ): void {
    const { scheduler } = this.#world;
    const untilMs = scheduler.nowMs + givesUpMs;
    this.#underWay += 1;
    const attempt = (): void => {
      if (scheduler.nowMs > untilMs) this.#over(what, 'given up');
      else this.#try(what, make, () => scheduler.plan(AGAIN_MS, attempt));
    };
    attempt();
  }

  #try(
    what: string,
    make: (configuration: Configuration) => Partial<ChangeMembers> | null,
    again: () => void,
  ): void {
    const { leader } = this.#world;
    const replica = leader?.replica ?? null;
    if (leader === null || replica === null) {
      again();
      return;
    }
    const { configuration } = replica.node;
    const parts = make(configuration);
    const change = parts === null ? null : this.#toChange(configuration, parts);
    if (change === null) {
      // A machine with a new disk asks until it is let in.
      if (parts !== null && what === 'reseed') again();
      else this.#over(what, parts === null ? 'nothing to do' : 'not possible');
      return;
    }
    const { life } = leader.time;
    let answered = false;
    replica.changeMembers(change, (error) => {
      answered = true;
      this.#told(`change (${what})`, error);
      if (error === null) this.#over(what, 'done');
      else again();
    });
    // One that dies gives no answer.
    const watch = (): void => {
      if (answered) return;
      if (leader.time.life !== life) again();
      else this.#world.scheduler.plan(AGAIN_MS, watch);
    };
    this.#world.scheduler.plan(AGAIN_MS, watch);
  }

  #toChange(configuration: Configuration, parts: Partial<ChangeMembers>) {
    const none = { add: [], promote: [], demote: [], remove: [] };
    const command: ChangeMembers = {
      op: 'change-members',
      expectedIndex: configuration.index,
      ...none,
      ...parts,
    };
    const addressOf = (member: MemberId): string => `${nameOf(member)}:1`;
    try {
      const change = toConfigurationChange(command, {
        configuration,
        addressOf,
        placeOf: addressOf,
      });
      if (change === null || change.voters.length === 0) return null;
      // Whoever asks for it must not count on machines that are lost.
      const target = { ...configuration, voters: change.voters, votersOutgoing: [] };
      const voters = [...change.voters, ...change.promotions.map(({ member }) => member)];
      if (voters.length > VOTERS_MAX || !isQuorum(target, this.#world.survivors())) return null;
      return change;
    } catch {
      // It contradicts itself by now.
      return null;
    }
  }

  #over(what: string, how: string): void {
    this.#underWay -= 1;
    this.#count(`${what} ${how}`);
  }

  #told(what: string, error: BalsaError | null): void {
    this.#count(`${what}: ${error?.code ?? 'ok'}`);
  }

  #count(what: string): void {
    this.#world.coverage.count(`operator: ${what}`);
  }
}

function allOf({ voters, votersOutgoing, learners, learnersNext }: Configuration): MemberId[] {
  return [...voters, ...votersOutgoing, ...learners, ...learnersNext];
}

function names(configuration: Configuration, member: MemberId): boolean {
  return allOf(configuration).includes(member);
}
