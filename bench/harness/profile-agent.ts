import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { ProfilerSession } from './profiler.js';

/**
 * Loaded into a replica before all else (`--import`): says which threads there are, and profiles the main one. Each `SIGUSR2`
 * is the next step: processor, what is allocated, and the end, behind which the recording is in a file.
 */
export const AGENT_FOLDER = 'BENCH_PROFILE_FOLDER';

export const agentFile = {
  threads: (pid: number): string => `${pid}.threads.json`,
  recording: (pid: number): string => `${pid}.recording.json`,
};

/** What there is before anything of ours is loaded, beside the main thread. */
export interface FirstThreads {
  readonly engine: readonly string[];
  /** That of Node, for what would hold up the loop: it has read this module. */
  readonly pool: readonly string[];
}

/** One that waits for what is due, and those that collect and compile (`--v8-pool-size`): they are started before all others. */
const ENGINE_THREADS = 1 + 4;

const folder = process.env[AGENT_FOLDER];

function fail(error: unknown): void {
  process.stderr.write(`the profile is lost: ${String(error)}\n`);
}

function attend(into: string): void {
  const { pid } = process;
  const others = readdirSync(`/proc/${pid}/task`).filter((thread) => thread !== `${pid}`);
  others.sort((a, b) => Number(a) - Number(b));
  const first: FirstThreads = {
    engine: others.slice(0, ENGINE_THREADS),
    pool: others.slice(ENGINE_THREADS),
  };
  writeFileSync(join(into, agentFile.threads(pid)), JSON.stringify(first));
  const session = new ProfilerSession();
  const end = async (): Promise<void> => {
    const recording = await session.stop();
    writeFileSync(join(into, agentFile.recording(pid)), JSON.stringify(recording));
  };
  const steps = [() => session.startProcessor(), () => session.startAllocated(), end];
  process.on('SIGUSR2', () => {
    steps.shift()?.().catch(fail);
  });
}

if (folder !== undefined && isMainThread) attend(folder);
