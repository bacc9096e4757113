import { relative, resolve } from 'node:path';
import { LocalCluster } from '../../cluster/local-cluster.js';
import type { ProcedureBundle } from '../../compute/bundle.js';
import { Context } from '../context.js';
import type { DevFlags } from '../dev.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { refuseMissing } from '../files.js';
import { LogTail, printLines } from '../proc/log-tail.js';
import type { StoreClient } from '../store-client.js';
import { Deployer } from './deployer.js';
import { DevTeller } from './dev-teller.js';

const REPLICAS = 3;
/** How often files are looked at, and replicas asked what was logged. */
const ROUND_MS = 150;

/** `balsa dev`: until Ctrl-C. */
export async function runDev(given: Context, file: string, flags: DevFlags): Promise<ExitCode> {
  const hangUp = new AbortController();
  const onHangUp = (): void => hangUp.abort();
  // The terminal is closed: that is no reason to leave replicas and folders behind.
  process.once('SIGHUP', onHangUp);
  try {
    const interrupted = AbortSignal.any([given.signal, hangUp.signal]);
    const sleep = (ms: number): Promise<void> => sleepUntil(interrupted, ms);
    const context = new Context({ ...given.io, interrupted, sleep }, given.options);
    await dev(context, file, flags);
    return EXIT.done;
  } finally {
    process.off('SIGHUP', onHangUp);
  }
}

async function dev(context: Context, file: string, flags: DevFlags): Promise<void> {
  const { io, signal } = context;
  // A wrong name is no file that is being written.
  await refuseMissing(file);
  const teller = new DevTeller(context.output, { file, alias: flags.alias });
  const deployer = new Deployer({
    ...{ file, alias: flags.alias, types: flags.typecheck, signal },
    nowMs: () => io.nowMs(),
    sleep: (ms) => io.sleep(ms),
    onUnchecked: (why) => teller.unchecked(why),
  });
  teller.starting(REPLICAS);
  const making = deployer.make();
  // Looked at when there is a cluster to bring it to.
  making.catch(() => {});
  await using cluster = await startCluster(flags.folder);
  if (signal.aborted) return teller.ending();
  const own = contextOf(context, cluster);
  await using tail = new LogTail(own);
  const client = await own.connect();
  try {
    await tail.open();
    await teller.ready(cluster, flags.folder !== undefined);
    await new DevLoop({ context: own, cluster, client, deployer, teller, tail }).run(making);
  } catch (error) {
    // What was under way when it was ended has failed: that is no news.
    if (!signal.aborted) throw error;
  } finally {
    await client.close();
    teller.ending();
  }
}

async function startCluster(folder: string | undefined): Promise<LocalCluster> {
  return await LocalCluster.start({ replicas: REPLICAS, folder, cluster: 'dev' });
}

/** The same, for the clients of this cluster. */
function contextOf({ io, options }: Context, { endpoints }: LocalCluster): Context {
  const { output, timeout } = options;
  return new Context(io, { ...(output === undefined ? {} : { output }), timeout, endpoints });
}

interface DevParts {
  readonly context: Context;
  readonly cluster: LocalCluster;
  readonly client: StoreClient;
  readonly deployer: Deployer;
  readonly teller: DevTeller;
  readonly tail: LogTail;
}

/** Files are looked at, replicas asked, and both told, turn by turn. */
class DevLoop {
  readonly #parts: DevParts;
  #deploying: Promise<void> | null = null;
  readonly #ended = new Set<string>();

  constructor(parts: DevParts) {
    this.#parts = parts;
  }

  async run(making: Promise<ProcedureBundle>): Promise<void> {
    const { context, tail } = this.#parts;
    this.#deploy(making);
    while (!context.signal.aborted) {
      tail.ask();
      await printLines(context.output, tail.take(), { event: 'log' });
      this.#lookAtReplicas();
      await this.#lookAtFiles();
      await context.io.sleep(ROUND_MS);
    }
    await this.#deploying;
  }

  async #lookAtFiles(): Promise<void> {
    const { deployer } = this.#parts;
    if (this.#deploying !== null || !(await deployer.isDue())) return;
    this.#deploy(deployer.make());
  }

  /** Logs go on meanwhile. */
  #deploy(making: Promise<ProcedureBundle>): void {
    const { deployer, client, teller, context } = this.#parts;
    const startedMs = context.io.nowMs();
    this.#deploying = deployer
      .deploy(client, making)
      .then(async (outcome) => {
        if (context.signal.aborted) return;
        await teller.outcome(outcome, context.io.nowMs() - startedMs, othersOf(deployer));
      })
      .finally(() => {
        this.#deploying = null;
      });
  }

  #lookAtReplicas(): void {
    const { cluster, teller } = this.#parts;
    for (const { name, unexpectedExit, logFile } of cluster.replicas) {
      if (unexpectedExit === null || this.#ended.has(name)) continue;
      this.#ended.add(name);
      teller.replicaEnded(unexpectedExit, logFile);
    }
  }
}

/** What is looked at beside the file itself. */
function othersOf({ files }: Deployer): readonly string[] {
  return files.map((path) => relative(resolve('.'), path)).slice(1);
}

/** Ends early, without an error. */
function sleepUntil(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal.addEventListener('abort', wake);
    if (signal.aborted) wake();
  });
}
