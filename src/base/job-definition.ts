/** What a job is to those who write one: `job` of `balsa/procedures` makes it, `db.submit` takes it. Types alone. */

/** A procedure that is deployed: its name, `count` or `count@staging`, or a reference of `references`. */
export type TaskProcedure = string | { readonly name: string };

/** What a job works on. */
export type JobInput =
  /** A task (or a part of one) for each item: what JSON can say. */
  | { readonly list: Iterable<unknown> }
  | RangeInput
  /**
   * A procedure that is called with `{ args, cursor }`, `cursor` being `null` the first time, and returns `{ items, next }`: items of
   * the input, and the `cursor` of the next call; without `next` there is none. It runs as a task, too.
   */
  | { readonly generate: TaskProcedure };

/**
 * Keys of the whole store, all as of the one revision at which the job comes into being, cut into pieces. A task has one piece:
 * `[{ key, value }...]`.
 */
export type RangeInput = (
  | { readonly prefix: string; readonly from?: undefined; readonly to?: undefined }
  | { readonly prefix?: undefined; readonly from: string; readonly to?: string | undefined }
) & {
  /** Bytes of keys and values in one piece, unless one key alone has more. Default 256 KiB. */
  readonly bytesPerTask?: number | undefined;
  /** Keys in one piece. Default 10,000. */
  readonly keysPerTask?: number | undefined;
  /** `json` (default): values are JSON, as procedures write them. `text`: any UTF-8. */
  readonly values?: 'json' | 'text' | undefined;
};

export interface StageDefinition {
  /**
   * `map` (default): a task for each input. `combine`: a task for each `fanIn` inputs, which has them as a list. `reduce`: as
   * `combine`, and again over what that gives, until there is one result.
   */
  readonly kind?: 'map' | 'combine' | 'reduce' | undefined;
  /** The procedure that a task runs, in the sandbox of a replica. Either this or {@link task}. */
  readonly run?: TaskProcedure | undefined;
  /** The name of what a task runs at workers of users: see `db.worker`. */
  readonly task?: string | undefined;
  /** Whose results it takes, one after the other: names of stages before it, or `input`. Default: the stage before it. */
  readonly after?: string | readonly string[] | undefined;
  /** Default 16. */
  readonly fanIn?: number | undefined;
  /** What a worker must have: `gpu`, `ffmpeg`. */
  readonly labels?: readonly string[] | undefined;
  /** What a task takes of the memory that a worker declares; its process is ended when it takes more. Default: nothing is said. */
  readonly memoryBytes?: number | undefined;
  /** How often the code of a task may fail and be run again. Default 3. */
  readonly retries?: number | undefined;
  /** How often its worker may be lost. Default 20. */
  readonly lostRetries?: number | undefined;
  /** At so many distinct places workers may be lost or break at a task before it is run no more. Default 3. */
  readonly poisonAfter?: number | undefined;
  /** An attempt that takes longer is ended, and has failed. Default: none is. */
  readonly timeoutMs?: number | undefined;
  /** Whether a second attempt may be made beside one that takes much longer than others. Default `true`. */
  readonly speculate?: boolean | undefined;
}

export interface JobDefinition {
  /** For those who look at it. */
  readonly name?: string | undefined;
  /** May be left out here, and given to `db.submit`. */
  readonly input?: JobInput | undefined;
  /** In their order; by name. */
  readonly stages: Readonly<Record<string, StageDefinition>>;
  /** 0 to 9: tasks of jobs with a higher one are run first. Default 5. */
  readonly priority?: number | undefined;
  /** Its share among jobs of its priority, 1 to 1000. Default 100. */
  readonly weight?: number | undefined;
  /** How long it is kept when it has ended, in milliseconds. Default: a day. */
  readonly retentionMs?: number | undefined;
}
