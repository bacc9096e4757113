import { KNOWN_COMMANDS } from '../../../src/base/command-versions.js';
import { asBalsaError, BalsaError } from '../../../src/base/errors.js';
import { noFailpoints } from '../../../src/base/failpoints.js';
import type { Mode } from '../../../src/base/operation.js';
import { seededRandom } from '../../../src/base/random.js';
import { text } from '../../../src/client/codec.js';
import { type Client, openClient } from '../../../src/client/kv-client.js';
import type { ConnectOptions } from '../../../src/client/options.js';
import { CallView } from '../../../src/compute/call-view.js';
import {
  CALL_LIMITS,
  type Execution,
  type Executor,
  type ProcedureCall,
  type Source,
  type StoreSource,
} from '../../../src/compute/execution.js';
import { runGroup } from '../../../src/compute/group-runner.js';
import { nativeContext } from '../../../src/compute/native-context.js';
import type { ApContext, CpContext } from '../../../src/compute/procedures.js';
import type { Channel, DialOptions } from '../../../src/rpc/channel.js';
import { ClientService } from '../../../src/server/client-service.js';
import type { StateMachineOptions } from '../../../src/statemachine/state-machine.js';
import { ReplicaWorld } from '../../server/replica-world.js';
import { Scheduler } from '../../server/test-scheduler.js';
import { errorOf, settled } from './failure.js';

/** Of a procedure. */
export type Body = (ctx: ApContext & CpContext, args: never) => unknown;
export type TextClient = Client<string, string, 'text'>;

const HASH = 'ab'.repeat(32);

/** Runs functions of this process, as the sandbox runs code. */
class CodeExecutor implements Executor {
  readonly bodies = new Map<string, Body>();

  async run(call: ProcedureCall, mode: Mode, source: StoreSource): Promise<Execution> {
    const view = new CallView(source as Source, CALL_LIMITS, mode, call.origin);
    const ctx = nativeContext(view, {
      ...{ nowMs: call.nowMs, logMs: call.logMs },
      random: seededRandom(call.seed),
      run: () => Promise.reject(new Error('no')),
    });
    try {
      const body = this.bodies.get(call.name);
      const result = JSON.stringify((await body?.(ctx, JSON.parse(call.args) as never)) ?? null);
      if (view.failure !== null) throw view.failure;
      return { ok: true, logs: view.logs, result, effects: view.effects() };
    } catch (cause) {
      const error =
        view.failure ??
        (cause instanceof BalsaError
          ? cause
          : new BalsaError('PROCEDURE_FAILED', asBalsaError(cause).message, {
              outcome: 'not-applied',
            }));
      return { ok: false, logs: view.logs, error, reads: view.effects() };
    }
  }

  runGroup(
    calls: Parameters<Executor['runGroup']>[0],
    source: StoreSource,
    bounds: Parameters<Executor['runGroup']>[2],
  ) {
    return runGroup(calls, source as Source, bounds, {
      monotonicMs: () => 0,
      run: (call, seen) => this.run(call, 'cp', seen as StoreSource),
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Clients and replicas as they are in production, with code that is run natively, in simulated time. */
export class WholeWorld {
  readonly world: ReplicaWorld;
  readonly executor = new CodeExecutor();
  readonly services = new Map<string, ClientService>();
  /** Frames from replicas to clients are lost. */
  mute = false;
  /** Frames from clients to replicas are lost. */
  deaf = false;
  readonly #closes = new Set<() => void>();
  #sessions = 0;

  private constructor(members: readonly string[], state: StateMachineOptions) {
    this.world = new ReplicaWorld(members, {}, new Scheduler(7));
    this.world.commandVersion = KNOWN_COMMANDS;
    this.world.executor = this.executor;
    this.world.stateOptions = state;
  }

  static async start(members = ['n1'], state: StateMachineOptions = {}): Promise<WholeWorld> {
    const whole = new WholeWorld(members, state);
    await whole.world.start();
    return whole;
  }

  /** @param hash another one stands for other code */
  async deploy(
    bodies: Record<string, readonly [mode: Mode, body: Body, trigger?: string]>,
    hash = HASH,
  ) {
    const procedures = Object.entries(bodies).map(([name, [mode, body, trigger = null]]) => {
      this.executor.bodies.set(name, body);
      return { name, mode, trigger };
    });
    await this.world.ask({
      ...{ type: 'deploy', hash, code: Buffer.from('code'), alias: 'prod', procedures },
    });
    await this.world.converge();
  }

  /** @returns a client that has been answered by a replica */
  async connect(
    options: Partial<ConnectOptions<string, string, 'text'>> = {},
  ): Promise<TextClient> {
    const { scheduler } = this.world;
    const endpoints = [...this.world.machines.keys()].map((id) => `${id}:1`);
    return this.world.wait(
      openClient({ endpoints, codec: text, ...options } as never, {
        clock: scheduler.clock(() => true),
        random: seededRandom(1),
        dial: (o) => this.#dial(o),
        newSessionId: () => {
          this.#sessions += 1;
          return Buffer.alloc(16, 100 + this.#sessions);
        },
      }) as Promise<TextClient>,
    );
  }

  run(ms: number): Promise<void> {
    return this.world.run(ms);
  }

  /** @returns what the promise comes to, within so much simulated time */
  async until<T>(promise: Promise<T>, ms = 60_000): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    await this.world.run(0);
    await this.world.until(() => settled, ms);
    return promise;
  }

  /** @returns what the promise fails with */
  async failure(promise: Promise<unknown>): Promise<BalsaError> {
    return errorOf(await this.until(settled(promise)));
  }

  /** All streams of clients break. */
  breakAll(): void {
    for (const close of [...this.#closes]) close();
    this.#closes.clear();
  }

  #service(id: string): ClientService {
    const known = this.services.get(id);
    if (known !== undefined) return known;
    const { limits, scheduler } = this.world;
    const machine = this.world.machine(id);
    const service = new ClientService(
      {
        limits,
        failpoints: noFailpoints,
        get replica() {
          return machine.isRunning ? machine.replica : null;
        },
        tellsStatus: false,
        notServingReason: () => new BalsaError('NO_QUORUM', 'being formed'),
        hello: () => ({
          ...{ protocolVersion: 1, protocolVersionMin: 1, clusterId: 'c1', clusterName: 'test' },
          ...{ replica: id, leader: machine.replica.leader },
          members: [...this.world.machines.keys()].map((name) => ({ name, address: `${name}:1` })),
          appliedIndex: machine.replica.appliedIndex,
          ...limits,
        }),
        status: () => '{}',
        admin: () => Promise.resolve('{}'),
      } as never,
      scheduler.clock(() => true),
    );
    this.services.set(id, service);
    return service;
  }

  #dial({ address, onFrame, onClose }: DialOptions): Channel {
    const id = address.split(':')[0] ?? '';
    const { scheduler } = this.world;
    const service = this.#service(id);
    let isOpen = true;
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      service.closed(connection);
      scheduler.plan(0, () => onClose(new BalsaError('UNREACHABLE', 'closed')));
    };
    this.#closes.add(close);
    const connection = service.accept({
      pendingBytes: 0,
      send: (frame: Buffer) => {
        if (this.mute) return;
        scheduler.plan(1, () => {
          if (isOpen) onFrame(Buffer.from(frame));
        });
      },
      end: close,
      abort: close,
    } as Channel);
    return {
      pendingBytes: 0,
      send: (frame) => {
        if (this.deaf) return;
        scheduler.plan(1, () => {
          if (isOpen) connection.receive(Buffer.from(frame));
        });
      },
      end: close,
      abort: () => {
        isOpen = false;
        service.closed(connection);
      },
    } as Channel;
  }
}
