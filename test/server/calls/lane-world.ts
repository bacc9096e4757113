import type { BalsaError } from '../../../src/base/errors.js';
import { LIMITS, type Limits } from '../../../src/base/limits.js';
import { seededRandom } from '../../../src/base/random.js';
import { CallView } from '../../../src/compute/call-view.js';
import {
  CALL_LIMITS,
  type Execution,
  type Executor,
  type GroupBounds,
  type GroupNews,
  type ProcedureCall,
  type Source,
} from '../../../src/compute/execution.js';
import { runGroup } from '../../../src/compute/group-runner.js';
import { CallLane, type LaneHost } from '../../../src/server/calls/call-lane.js';
import type { CallAnswer, CallRequest } from '../../../src/server/calls/call-types.js';
import { Runner } from '../../../src/server/calls/runner.js';
import type { BatchAnswer } from '../../../src/statemachine/types.js';
import { Replica } from '../../statemachine/replica.js';

export type Body = (view: CallView, args: unknown) => unknown;

interface Proposed {
  readonly records: readonly Uint8Array[];
  readonly done: (answers: readonly BatchAnswer[]) => void;
}

export const HASH = 'ab'.repeat(32);

/** The lane of a leader over a state machine; what it proposes is applied when the test says so. */
export class LaneWorld {
  readonly replica: Replica;
  readonly host: LaneHost;
  readonly lane: CallLane;
  readonly proposed: Proposed[] = [];
  /** Of each group that was run. */
  readonly news: GroupNews[] = [];
  readonly bounds: GroupBounds[] = [];
  /** Calls that were sent to be run in each. */
  readonly sent: number[] = [];
  /** What each call takes, in milliseconds. */
  callMs = 0;
  /** By name; which ran, in order. */
  readonly bodies = new Map<string, Body>();
  readonly ran: string[] = [];
  leads = true;
  isQuiet = true;
  isHeld = false;
  heldTimes = 0;
  confirmation: BalsaError | null = null;
  confirmed = 0;
  /** What comes to be known here before it is confirmed. */
  beforeConfirmed: () => Promise<void> = () => Promise.resolve();
  #nowMs = 0;
  #keys = 0;

  /** @param bounds of the state, which the leader knows */
  static async start(bounds: { readonly entryReadKeysMax?: number } = {}): Promise<LaneWorld> {
    const world = new LaneWorld(await Replica.start(bounds), { ...LIMITS, ...bounds });
    await world.deploy('p', 'q', 'r');
    return world;
  }

  private constructor(replica: Replica, limits: Limits) {
    this.replica = replica;
    const machine = () => replica.machine;
    const random = seededRandom(1);
    const runner = new Runner({
      executor: this.#executor(),
      random,
      machine,
      cellBytesMax: 1024 * 1024,
      ...{ nowMs: () => 7, logMs: () => 7 },
    });
    this.host = {
      ...{ limits, runner, machine },
      clock: {
        monotonicMs: () => this.#nowMs,
        wallMs: () => 0,
        setTimer: () => ({ cancel: () => {} }),
        defer: (callback) => void setImmediate(callback),
      },
      canRun: () => this.leads,
      isQuiet: () => this.isQuiet,
      propose: (records, done) => void this.proposed.push({ records, done }),
      hold: (isHeld) => {
        this.isHeld = isHeld;
        if (isHeld) this.heldTimes += 1;
      },
      confirm: (done) => {
        this.confirmed += 1;
        void this.beforeConfirmed().then(() => done(this.confirmation));
      },
    };
    this.lane = new CallLane(this.host);
  }

  async deploy(...names: readonly string[]): Promise<void> {
    const procedures = names.map((name) => ({ name, mode: 'cp' as const, trigger: null }));
    const code = Buffer.from('code');
    await this.replica.do({ type: 'deploy', hash: HASH, code, alias: 'prod', procedures });
  }

  /** Calls `procedure`; its answer is there later. */
  call(procedure: string, args: unknown = null): { answer: CallAnswer | null } {
    const told: { answer: CallAnswer | null } = { answer: null };
    this.lane.add(this.request(procedure, args), (answer) => {
      if (told.answer !== null) throw new Error('answered twice');
      told.answer = answer;
    });
    return told;
  }

  request(procedure: string, args: unknown = null): CallRequest {
    this.#keys += 1;
    const key = Buffer.from(`key ${this.#keys}`);
    return { procedure, args: JSON.stringify(args), key, isNamed: false, bornIndex: 0 };
  }

  /** Until something was proposed. */
  async proposal(): Promise<Proposed> {
    await this.settled();
    const first = this.proposed[0];
    if (first === undefined) throw new Error('nothing was proposed');
    return first;
  }

  /** The oldest proposal is applied. @returns how many calls it had */
  async commit(): Promise<number> {
    const { records, done } = await this.proposal();
    this.proposed.shift();
    done(await this.replica.run({ calls: records }));
    await this.settled();
    return records.length;
  }

  async put(key: string, value: unknown): Promise<void> {
    await this.replica.do({
      ...{ type: 'put', key: Buffer.from(key) },
      value: Buffer.from(JSON.stringify(value)),
    });
  }

  get(key: string): unknown {
    const content = this.replica.machine.get(Buffer.from(key), null);
    return content === null ? null : JSON.parse(Buffer.from(content.value).toString());
  }

  /** All promises have gone as far as they can. */
  async settled(): Promise<void> {
    for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  #executor(): Executor {
    const run = async (call: ProcedureCall, source: Source): Promise<Execution> => {
      this.ran.push(call.name);
      this.#nowMs += this.callMs;
      const view = new CallView(source, CALL_LIMITS, 'cp');
      try {
        const body = this.bodies.get(call.name);
        const result = JSON.stringify((await body?.(view, JSON.parse(call.args))) ?? null);
        return { ok: true, logs: view.logs, result, effects: view.effects() };
      } catch (cause) {
        const { failure } = view;
        if (failure === null) throw cause;
        return { ok: false, logs: [], error: failure, reads: view.effects() };
      }
    };
    return {
      run: (call, _mode, source) => run(call, source as Source),
      runGroup: (calls, source, bounds, news) => {
        this.news.push(news);
        this.bounds.push(bounds);
        this.sent.push(calls.length);
        return runGroup(calls, source as Source, bounds, { monotonicMs: () => this.#nowMs, run });
      },
      close: () => Promise.resolve(),
    };
  }
}

/** A counter in `key`: what it was before. */
export const COUNT: Body = (view, key) => {
  const before = Number(view.get(String(key)) ?? '0');
  view.put(String(key), String(before + 1));
  return before;
};

/** Its result, or its error code with what became of the call. */
export function said({ answer }: { answer: CallAnswer | null }): unknown {
  if (answer === null) return 'no answer yet';
  if (answer.ok) return JSON.parse(answer.result);
  return `${answer.error.code} ${answer.error.outcome}`;
}
