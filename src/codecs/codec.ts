/**
 * The Codec plug: how a value becomes bytes and comes back. Codecs run where user code runs (client
 * and threads), never on the coordinator, which only moves bytes.
 *
 * Promise of `encode`: what cannot travel is refused with `UnserialisableError` that names the path of
 * the offending property (`$.items[3].onClick`), with nothing left behind in the sink
 * (`into.length` is as before). Promise of `decode`: it is given exactly the bytes of one value;
 * malformed or oversized input is a `CorruptValueError`, never a crash, never a changed prototype.
 */
import type { ByteSink } from '../lib/bytes.ts';
import { ShoalError } from '../lib/errors.ts';

export interface Codec {
  readonly name: string;
  /** Appends one encoded value to `into`. */
  encode(value: unknown, into: ByteSink): void;
  decode(bytes: Uint8Array, limits?: DecodeLimits): unknown;
  /** As `decode` of `bytes[from … to-1]`, where a codec can spare the caller one subarray a value. */
  decodeRange?(bytes: Uint8Array, from: number, to: number, limits?: DecodeLimits): unknown;
}

export interface DecodeLimits {
  depthMax: number;
  bytesMax: number;
}

/** SH1201: a value that cannot travel; `path` is `$` for the value itself, else `$.a.b[3]`. */
export class UnserialisableError extends ShoalError {
  override readonly name = 'UnserialisableError';
  readonly path: string;
  constructor(path: string, what: string, hint?: string) {
    super('SH1201', `${path} is ${what}, which cannot travel to or from a task`, { hint });
    this.path = path;
  }
}

/** SH1202: bytes that are no value of this codec. */
export class CorruptValueError extends ShoalError {
  override readonly name = 'CorruptValueError';
  constructor(codec: string, what: string, cause?: unknown) {
    super('SH1202', `a ${codec} value is damaged: ${what}`, { cause });
  }
}
