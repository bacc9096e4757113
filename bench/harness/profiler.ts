import { type HeapProfiler, type Profiler, Session } from 'node:inspector';

/** Between two samples of the processor, in microseconds. */
const INTERVAL_MICROS = 500;
/** Between two samples of what is allocated, in bytes. */
const ALLOCATED_BYTES = 16 * 1024;

export interface Recording {
  /** Of the main thread; opens in any viewer of `.cpuprofile` files. */
  readonly processor: Profiler.Profile;
  /** Of the main thread: all that was allocated, also what is garbage by now. */
  readonly allocated: HeapProfiler.SamplingHeapProfile;
}

/** Profiles the thread that it is made on: first its processor time, then what it allocates, so that neither is seen in the other. */
export class ProfilerSession {
  readonly #session = new Session();
  #processor: Profiler.Profile | null = null;

  async startProcessor(): Promise<void> {
    this.#session.connect();
    await this.#post('Profiler.enable');
    await this.#post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROS });
    await this.#post('Profiler.start');
  }

  async startAllocated(): Promise<void> {
    const { profile } = await this.#post<{ profile: Profiler.Profile }>('Profiler.stop');
    this.#processor = profile;
    await this.#post('HeapProfiler.startSampling', {
      samplingInterval: ALLOCATED_BYTES,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    });
  }

  async stop(): Promise<Recording> {
    const { profile: allocated } = await this.#post<{ profile: HeapProfiler.SamplingHeapProfile }>(
      'HeapProfiler.stopSampling',
    );
    this.#session.disconnect();
    if (this.#processor === null) throw new Error('the processor was not profiled');
    return { processor: this.#processor, allocated };
  }

  #post<T>(method: string, parameters: object = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, parameters, (error, result) => {
        if (error === null) resolve(result as T);
        else reject(error);
      });
    });
  }
}
