import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { MiB } from '../machine.js';

const V1 = '/sys/fs/cgroup/memory';
const V2 = '/sys/fs/cgroup';

/**
 * Bounds the memory of a process: all that it has resident, the cache of its files with it, as a container does. By a control
 * group of the system, of version 2 or 1, which takes the right to make one (root).
 *
 * @throws Error there is none that could be made
 */
export class MemoryBound implements Disposable {
  readonly #pid: number;
  readonly #root: string;
  readonly #folder: string;
  readonly #isV1: boolean;

  constructor(pid: number, maxBytes: number) {
    this.#isV1 = existsSync(`${V1}/memory.limit_in_bytes`);
    this.#pid = pid;
    this.#root = this.#isV1 ? V1 : V2;
    this.#folder = `${this.#root}/balsa-bench-${pid}`;
    try {
      mkdirSync(this.#folder);
      const limit = this.#isV1 ? 'memory.limit_in_bytes' : 'memory.max';
      writeFileSync(`${this.#folder}/${limit}`, `${maxBytes}`);
      writeFileSync(`${this.#folder}/cgroup.procs`, `${pid}`);
    } catch (error) {
      throw new Error(
        `the memory of a process cannot be bounded here: it takes Linux with control groups for memory, and root (${error})`,
      );
    }
  }

  /** What the group holds, in MiB; it counts what its processes have brought in since they are in it. */
  get heldMiB(): number {
    const file = this.#isV1 ? 'memory.usage_in_bytes' : 'memory.current';
    return Number(readFileSync(`${this.#folder}/${file}`, 'utf8')) / MiB;
  }

  [Symbol.dispose](): void {
    writeFileSync(`${this.#root}/cgroup.procs`, `${this.#pid}`);
    rmdirSync(this.#folder);
  }
}
