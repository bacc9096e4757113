import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { ProfilerSession } from './profiler.js';

/**
 * Loaded into a replica before all else (`--import`), on each of its threads: says which thread is which, and profiles the main one. Each
 * `SIGUSR2` is the next step: processor, what is allocated, and the end, behind which the recording is in a file.
 */
export const AGENT_FOLDER = 'BENCH_PROFILE_FOLDER';

/** The threads of a replica, as its files in the folder of the agent say. */
export const agentFile = {
  /** The threads that belong to the engine. */
  engine: (pid: number): string => `${pid}.engine.json`,
  recording: (pid: number): string => `${pid}.recording.json`,
  worker: (pid: number, thread: string): string => `${pid}.worker.${thread}`,
};

/** One that waits for what is due, and those that collect and compile (`--v8-pool-size`): they are started before all others. */
const ENGINE_THREADS = 1 + 4;

const folder = process.env[AGENT_FOLDER];

function fail(error: unknown): void {
  process.stderr.write(`the profile is lost: ${String(error)}\n`);
}

function attend(into: string): void {
  const { pid } = process;
  const others = readdirSync(`/proc/${pid}/task`).filter((thread) => thread !== `${pid}`);
  const engine = others.sort((a, b) => Number(a) - Number(b)).slice(0, ENGINE_THREADS);
  writeFileSync(join(into, agentFile.engine(pid)), JSON.stringify(engine));
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

if (folder !== undefined) {
  if (isMainThread) attend(folder);
  else {
    const thread = basename(readlinkSync('/proc/thread-self'));
    writeFileSync(join(folder, agentFile.worker(process.pid, thread)), '');
  }
}
