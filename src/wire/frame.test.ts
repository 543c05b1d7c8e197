import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fact, LinesFact } from '../core/facts.ts';
import { concatBytes } from '../lib/bytes.ts';
import { decodeHead, decodeMessage, encodeHead, encodeMessage, FrameError, type Message } from './frame.ts';
import { factSamples, messageSamples } from './samples.suite.ts';

const goldenFile = new URL('./golden/frames-1.txt', import.meta.url);
const messages = Object.values(messageSamples) as Message[];
const facts = Object.values(factSamples) as (Fact | LinesFact)[];

const frameOf = (message: Message): Uint8Array => concatBytes(encodeMessage(message));

const decoders: ((bytes: Uint8Array) => unknown)[] = [decodeMessage, decodeHead];

/** What a message is after the journey: its body in one piece. */
function received(message: Message): Message {
  if (!('body' in message)) return message;
  const body = concatBytes(message.body);
  return { ...message, body: body.length === 0 ? [] : [new Uint8Array(body)] };
}

/** Hexadecimal and text side by side, so that a change can be reviewed. */
function dump(name: string, bytes: Uint8Array): string {
  const lines = [`== ${name}`];
  for (let at = 0; at < bytes.length; at += 32) {
    const row = Buffer.from(bytes.subarray(at, at + 32));
    lines.push(`${row.toString('hex').padEnd(64)}  ${row.toString('latin1').replace(/[^\x20-\x7e]/g, '.')}`);
  }
  return `${lines.join('\n')}\n`;
}

function parseDump(text: string): Map<string, Uint8Array> {
  const sections = text.split(/^== /m).slice(1);
  return new Map(
    sections.map((section) => {
      const [name, ...lines] = section.trimEnd().split('\n');
      return [name!, new Uint8Array(Buffer.from(lines.map((line) => line.slice(0, 64).trimEnd()).join(''), 'hex'))];
    }),
  );
}

function rejection(bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown = decodeMessage): FrameError {
  try {
    decode(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(FrameError);
    return error as FrameError;
  }
  throw new Error('it was taken');
}

describe('the bytes of version 1', () => {
  it('are the golden ones', async () => {
    const dumps = messages.map((message) => dump(message.kind, frameOf(message)));
    await expect([...dumps, dump('facts', encodeHead(facts))].join('')).toMatchFileSnapshot(fileURLToPath(goldenFile));
  });

  it('are read as what they were', async () => {
    const golden = parseDump(await readFile(goldenFile, 'utf8'));
    for (const message of messages) expect(decodeMessage(golden.get(message.kind)!)).toStrictEqual(received(message));
    expect(decodeHead<Fact | LinesFact>(golden.get('facts')!)).toStrictEqual(facts);
    expect(golden.size).toBe(messages.length + 1);
  });
});

describe('a message', () => {
  it.each(messages.map((message) => [message.kind, message] as const))('%s comes back', (_, message) => {
    expect(decodeMessage(frameOf(message))).toStrictEqual(received(message));
  });

  it('passes its body on without copying it, and shows the received one as a view', () => {
    const message = messageSamples.results;
    const chunks = encodeMessage(message);
    expect(chunks[1]).toBe(message.body[0]);
    const frame = concatBytes(chunks);
    const back = decodeMessage<typeof message>(frame);
    expect(back.body[0]!.buffer).toBe(frame.buffer);
    expect(back.lengths.buffer).not.toBe(frame.buffer);
  });

  it('is read wherever it lies, whatever class its bytes are of', () => {
    const frame = frameOf(messageSamples.assign);
    for (let shift = 0; shift < 4; shift++) {
      const around = Buffer.alloc(frame.length + 8);
      around.set(frame, shift);
      expect(decodeMessage(around.subarray(shift, shift + frame.length))).toStrictEqual(received(messageSamples.assign));
    }
  });

  it('of thousands of tasks costs one byte a small number', () => {
    const count = 4096;
    const empty = frameOf({ ...messageSamples.results, durations: new Uint32Array(0), lengths: new Uint32Array(0), body: [] });
    const full = frameOf({
      ...messageSamples.results,
      durations: new Uint32Array(count).fill(255),
      lengths: new Uint32Array(count),
      body: [],
    });
    expect(full.length - empty.length).toBe(2 * count);
  });

  it('keeps any column', () => {
    const column = fc.oneof(
      fc.uint32Array(),
      fc.array(fc.nat(255)).map((numbers) => Uint32Array.from(numbers)),
      fc.array(fc.nat(65_535)).map((numbers) => Uint32Array.from(numbers)),
    );
    fc.assert(
      fc.property(column, column, fc.array(fc.uint8Array()), fc.string({ unit: 'binary' }), (lengths, durations, body, job) => {
        const message = { ...messageSamples.results, job, lengths: Uint32Array.from(lengths), durations, body };
        expect(decodeMessage(frameOf(message))).toStrictEqual(received(message));
      }),
    );
  });
});

describe('a head', () => {
  it('keeps its facts in order, each with its own columns', () => {
    const many = [...facts, ...facts.toReversed()];
    expect(decodeHead(encodeHead(many))).toStrictEqual(many);
    expect(decodeHead(encodeHead([]))).toEqual([]);
  });

  it('is no message, and a message is no head', () => {
    expect(rejection(encodeHead(facts)).why).toBe('it holds no message');
    expect(rejection(frameOf(messageSamples.drain), decodeHead).why).toBe('it holds a message where facts were expected');
  });
});

describe('malformed frames (X09)', () => {
  it('another version names both', () => {
    const frame = frameOf(messageSamples.drain).slice();
    frame[1] = 2;
    const error = rejection(frame);
    expect([error.code, error.why]).toEqual(['SH3201', 'it is of wire version 2, and this process speaks version 1']);
    expect(error.hint).toContain('same release');
  });

  const head = (json: string, rest: number[] = [], kind = 1): Uint8Array => {
    const text = Buffer.from(json);
    const frame = Buffer.alloc(8 + text.length + rest.length);
    frame.set([0x5f, 1, kind, 0]);
    frame.writeUInt32LE(text.length, 4);
    frame.set(text, 8);
    frame.set(rest, 8 + text.length);
    return frame;
  };

  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an unknown kind', head('[[{"kind":"drain"}]]', [], 9)],
    ['a head that claims 4 GiB', Uint8Array.of(0x5f, 1, 1, 0, 255, 255, 255, 255)],
    ['a head that is no JSON', head('[[{]')],
    ['a head that is no list', head('{}')],
    ['a head of no objects', head('[1]')],
    ['a head of lists of lists', head('[[[]]]')],
    ['a head without an object', head('[[]]')],
    ['no message', head('[]')],
    ['two messages', head('[[{"kind":"a"}],[{"kind":"b"}]]')],
    ['no kind', head('[[{"kind":5}]]')],
    ['a column without a name', head('[[{"kind":"a"},5]]', [1, 0, 0, 0, 0])],
    ['a column that would be the prototype (X05)', head('[[{"kind":"a"},"__proto__"]]', [1, 0, 0, 0, 0])],
    ['a column that is not there', head('[[{"kind":"a"},"ranges"]]')],
    ['a column that claims 16 GiB', head('[[{"kind":"a"},"ranges"]]', [4, 255, 255, 255, 255])],
    ['numbers of three bytes', head('[[{"kind":"a"},"ranges"]]', [3, 1, 0, 0, 0, 1, 1, 1])],
    ['bytes too many', head('[[{"kind":"a"}]]', [1])],
    ['100 000 levels (T05)', head('['.repeat(100_000))],
  ])('%s', (_, bytes) => {
    expect(rejection(bytes).code).toBe('SH3201');
  });

  it('facts without names, and bytes after them', () => {
    expect(rejection(head('[[{}]]', [], 3), decodeHead).why).toBe('a fact has no name');
    expect(rejection(head('[]', [1], 3), decodeHead).why).toBe('it has 1 bytes too many');
  });

  it('cut or changed anywhere, are a message or a FrameError', () => {
    const frames = [frameOf(messageSamples.assign), frameOf(messageSamples.deliver), encodeHead(facts)];
    const tryDecode = (bytes: Uint8Array): void => {
      for (const decode of decoders) {
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }
    };
    for (const frame of frames) {
      for (let length = 0; length < frame.length; length++) tryDecode(frame.subarray(0, length));
    }
    fc.assert(
      fc.property(fc.constantFrom(...frames), fc.nat(), fc.nat(255), (frame, at, byte) => {
        const changed = frame.slice();
        changed[at % frame.length] = byte;
        tryDecode(changed);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), tryDecode), { numRuns: 1000 });
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
