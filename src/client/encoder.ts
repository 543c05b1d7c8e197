/** Inputs become bytes here, and what cannot travel is told by the task's name and the input's index. */
import { type Codec, UnserialisableError } from '../codecs/codec.ts';
import { payloadBytesMax } from '../core/limits.ts';
import { ByteSink } from '../lib/bytes.ts';
import { ShoalError } from '../lib/errors.ts';

/** The same error with the user's own name for the value in front. `index`: of a map's inputs. */
export function nameInput(error: unknown, who: string, index?: number): unknown {
  if (error instanceof UnserialisableError) error.message = `${inputName(who, index)}: ${error.message}`;
  return error;
}

export function tooLarge(who: string, index: number | undefined, bytes: number): ShoalError {
  return new ShoalError('SH1204', `${inputName(who, index)} has ${bytes} bytes, more than the ${payloadBytesMax} that one value may have`, {
    hint: 'pass a path or URL and read it in the task, or cut the input into more tasks',
  });
}

function inputName(who: string, index: number | undefined): string {
  return index === undefined ? `${who} input` : `${who} input ${index}`;
}

let sink = new ByteSink();
/** A sink that one large value has blown up is not kept. */
const sinkBytesMax = 1024 * 1024;

/** One value in a region of its own. */
export function encodeAlone(codec: Codec, value: unknown, who: string, index?: number): Uint8Array<ArrayBuffer> {
  try {
    codec.encode(value, sink);
  } catch (error) {
    sink.length = 0;
    throw nameInput(error, who, index);
  }
  const bytes = sink.take();
  if (sink.buffer.length > sinkBytesMax) sink = new ByteSink();
  if (bytes.length > payloadBytesMax) throw tooLarge(who, index, bytes.length);
  return bytes;
}
