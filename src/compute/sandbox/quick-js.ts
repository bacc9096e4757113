import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import variant from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSSyncVariant,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core';
import { BalsaError } from '../../base/errors.js';

const PAGE_BYTES = 64 * 1024;
/** Pages that its code was built for; it does not begin with less. */
const PAGES_MIN = 256;
/** So that it can grow at least once, and that is seen. */
const PAGES_MAX_MIN = 288;
/** Its own data and stack. */
const OWN_BYTES = 5.5 * 1024 * 1024;
/** It grows by steps of at least a twentieth: with more than this it can grow no more. */
const FULL = 0.95;
/** Beyond this between two calls it is not used for another one. */
const WORN = 0.6;

/** What of `WebAssembly` is needed; the types of Node have none of it. */
interface WebAssemblyParts {
  readonly Memory: new (pages: { readonly initial: number; readonly maximum: number }) => never;
  compile(bytes: Uint8Array): Promise<never>;
}

const { Memory: WasmMemory, compile } = Reflect.get(globalThis, 'WebAssembly') as WebAssemblyParts;

let compiling: Promise<never> | null = null;

/** The memory of an interpreter. */
export class Memory {
  readonly #memory: { readonly buffer: ArrayBufferLike };
  readonly #bytesMax: number;
  #isExhausted = false;

  constructor(memory: { readonly buffer: ArrayBufferLike }, bytesMax: number) {
    this.#memory = memory;
    this.#bytesMax = bytesMax;
  }

  /** As it is now: it is another one when it has grown. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#memory.buffer);
  }

  /** There was none left, or hardly any. What was done then is not to be trusted. */
  get isFull(): boolean {
    return this.#isExhausted || this.#memory.buffer.byteLength > this.#bytesMax * FULL;
  }

  get isWorn(): boolean {
    return this.#isExhausted || this.#memory.buffer.byteLength > this.#bytesMax * WORN;
  }

  /** Something that was needed could not be had. */
  exhausted(): BalsaError {
    this.#isExhausted = true;
    return new BalsaError('PROCEDURE_LIMIT', 'out of memory', { outcome: 'not-applied' });
  }
}

/**
 * An interpreter with a memory of its own, that cannot grow beyond `memoryBytesMax` (10 MiB at least) and what it needs
 * itself. The limit that the interpreter knows is not enough: it does not count the contents of an `ArrayBuffer`. Its
 * memory goes when it does.
 */
export async function newQuickJs(
  memoryBytesMax: number,
): Promise<{ readonly quickJs: QuickJSWASMModule; readonly memory: Memory }> {
  compiling ??= readWasm().then((bytes) => compile(bytes));
  const wanted = Math.ceil((OWN_BYTES + memoryBytesMax) / PAGE_BYTES);
  const maximum = Math.max(wanted, PAGES_MAX_MIN);
  const wasmMemory = new WasmMemory({ initial: PAGES_MIN, maximum });
  const memory = new Memory(wasmMemory, maximum * PAGE_BYTES);
  // Its types speak of the CommonJS form of the package.
  const built = newVariant(variant as unknown as QuickJSSyncVariant, {
    wasmModule: await compiling,
    wasmMemory,
  });
  return { quickJs: await newQuickJSWASMModuleFromVariant(guarded(built, memory)), memory };
}

/** Without memory the binding would write over what is at address 0, and go on. */
function guarded(built: QuickJSSyncVariant, memory: Memory): QuickJSSyncVariant {
  return {
    ...built,
    importModuleLoader: async () => {
      const imported = await built.importModuleLoader();
      let load = imported;
      while ('default' in load) load = load.default;
      return async (options) => {
        const module = await load(options);
        const malloc = module._malloc;
        module._malloc = (size) => {
          const address = malloc(size);
          if (address === 0) throw memory.exhausted();
          return address;
        };
        return module;
      };
    },
  };
}

function readWasm(): Promise<Uint8Array> {
  const { resolve } = createRequire(import.meta.url);
  return readFile(resolve('@jitl/quickjs-wasmfile-release-sync/wasm'));
}
