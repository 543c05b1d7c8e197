/**
 * What a carrier carries: frames of one sender to one inbox, numbered, and signed where the cluster has a secret.
 *
 * ```
 * u8 1 plain, 2 signed   16 bytes the sender   u48 sequence   [32 bytes HMAC-SHA256]   frames
 *   frame  u8 0  u32 bytes, a whole message
 *          u8 1  u32 number of the message, u32 its bytes, u32 offset, u32 bytes, that part of it
 *          u8 2  u32 number of a probe
 * u8 3 a refusal         16 bytes the sender   u8 why
 * ```
 *
 * 1. The HMAC covers the inbox's name and all else of the payload, so what was said to one inbox is not valid at another.
 * 2. A layout is the same with and without a secret; a sender's sequence grows with each payload, whatever the inbox.
 * 3. A refusal tells a sender why nobody hears it. It is not signed (whoever sends it may have no secret, or another one),
 *    and nothing follows from it but a line in a log.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Secret } from '../../lib/secret.ts';

export const senderBytes = 16;
const layouts = { plain: 1, signed: 2, refusal: 3 } as const;
const macBytes = 32;
const headBytes = 1 + senderBytes + 6;
const frameKinds = { message: 0, part: 1, probe: 2 } as const;
const messageHeadBytes = 1 + 4;
export const partHeadBytes = 1 + 4 * 4;

export type Frame =
  | { kind: 'message'; bytes: Uint8Array }
  | { kind: 'part'; number: number; bytesTotal: number; offset: number; bytes: Uint8Array }
  | { kind: 'probe'; number: number };

/** Why a payload is not heard. */
export type Refused = 'unsigned' | 'unexpectedly signed' | 'wrong signature' | 'seen before' | 'senseless';
const refusedCodes: readonly Refused[] = ['unsigned', 'unexpectedly signed', 'wrong signature', 'seen before', 'senseless'];

/** Signs and checks; undefined where the cluster has no secret. */
export type Signer = (inbox: string, parts: readonly Uint8Array[]) => Buffer;

/** The cluster's name is part of the key: clusters that share a secret do not share messages. */
export function signerOf(secret: Secret | undefined, cluster: string): Signer | undefined {
  if (secret === undefined) return undefined;
  const key = createHmac('sha256', secret.reveal()).update(`shoal cluster ${cluster}`).digest();
  return (inbox, parts) => {
    const mac = createHmac('sha256', key).update(`${Buffer.byteLength(inbox)} ${inbox} `);
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
}

export function overheadBytes(signer: Signer | undefined): number {
  return headBytes + (signer ? macBytes : 0);
}

/** A piece of a message on its way into a payload: `chunks` are copied from `offset` on. */
export interface Piece {
  kind: 'message' | 'part' | 'probe';
  number: number;
  chunks: readonly Uint8Array[];
  bytesTotal: number;
  offset: number;
  bytes: number;
}

export function pieceBytes(kind: Piece['kind'], bytes: number): number {
  return kind === 'message' ? messageHeadBytes + bytes : kind === 'part' ? partHeadBytes + bytes : 1 + 4;
}

export function sealPayload(
  signer: Signer | undefined,
  sender: Uint8Array,
  sequence: number,
  inbox: string,
  pieces: readonly Piece[],
): Uint8Array {
  const start = overheadBytes(signer);
  let length = start;
  for (const { kind, bytes } of pieces) length += pieceBytes(kind, bytes);
  const payload = Buffer.allocUnsafe(length);
  payload[0] = signer ? layouts.signed : layouts.plain;
  payload.set(sender, 1);
  payload.writeUIntBE(sequence, 1 + senderBytes, 6);
  let at = start;
  for (const piece of pieces) at = writePiece(payload, at, piece);
  if (signer) signer(inbox, [payload.subarray(0, headBytes), payload.subarray(start)]).copy(payload, headBytes);
  return payload;
}

function writePiece(payload: Buffer, start: number, { kind, number, chunks, bytesTotal, offset, bytes }: Piece): number {
  let at = payload.writeUInt8(frameKinds[kind], start);
  if (kind === 'probe') return payload.writeUInt32BE(number, at);
  if (kind === 'part') {
    at = payload.writeUInt32BE(number, at);
    at = payload.writeUInt32BE(bytesTotal, at);
    at = payload.writeUInt32BE(offset, at);
  }
  at = payload.writeUInt32BE(bytes, at);
  let skip = offset;
  let left = bytes;
  for (const chunk of chunks) {
    if (skip >= chunk.length) {
      skip -= chunk.length;
      continue;
    }
    if (left === 0) break;
    const taken = Math.min(left, chunk.length - skip);
    payload.set(skip === 0 && taken === chunk.length ? chunk : chunk.subarray(skip, skip + taken), at);
    at += taken;
    left -= taken;
    skip = 0;
  }
  return at;
}

export type Opened =
  | { sender: string; sequence: number; frames: Frame[] }
  | { sender: string; refusal: Refused }
  | { sender: string | undefined; refused: Refused };

export function openPayload(signer: Signer | undefined, inbox: string, bytes: Uint8Array): Opened {
  const payload = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const layout = payload[0];
  if (payload.length <= 1 + senderBytes) return { sender: undefined, refused: 'senseless' };
  const sender = payload.toString('hex', 1, 1 + senderBytes);
  if (layout === layouts.refusal) {
    const refusal = refusedCodes[payload[1 + senderBytes]!];
    return refusal ? { sender, refusal } : { sender: undefined, refused: 'senseless' };
  }
  if (layout !== layouts.plain && layout !== layouts.signed) return { sender: undefined, refused: 'senseless' };
  const isSigned = layout === layouts.signed;
  if (isSigned !== (signer !== undefined)) return { sender, refused: isSigned ? 'unexpectedly signed' : 'unsigned' };
  const start = overheadBytes(signer);
  if (payload.length < start) return { sender, refused: 'senseless' };
  if (signer) {
    const mac = signer(inbox, [payload.subarray(0, headBytes), payload.subarray(start)]);
    if (!timingSafeEqual(mac, payload.subarray(headBytes, start))) return { sender, refused: 'wrong signature' };
  }
  const frames = readFrames(payload, start);
  return frames ? { sender, sequence: payload.readUIntBE(1 + senderBytes, 6), frames } : { sender, refused: 'senseless' };
}

function readFrames(payload: Buffer, start: number): Frame[] | undefined {
  const frames: Frame[] = [];
  let at = start;
  while (at < payload.length) {
    const kind = payload[at];
    const headEnd = at + pieceBytes(kind === frameKinds.message ? 'message' : kind === frameKinds.part ? 'part' : 'probe', 0);
    if (headEnd > payload.length) return undefined;
    if (kind === frameKinds.probe) {
      frames.push({ kind: 'probe', number: payload.readUInt32BE(at + 1) });
      at = headEnd;
      continue;
    }
    if (kind !== frameKinds.message && kind !== frameKinds.part) return undefined;
    const end = headEnd + payload.readUInt32BE(headEnd - 4);
    if (end > payload.length) return undefined;
    const bytes = payload.subarray(headEnd, end);
    if (kind === frameKinds.message) frames.push({ kind: 'message', bytes });
    else {
      const [number, bytesTotal, offset] = [payload.readUInt32BE(at + 1), payload.readUInt32BE(at + 5), payload.readUInt32BE(at + 9)];
      frames.push({ kind: 'part', number, bytesTotal, offset, bytes });
    }
    at = end;
  }
  return frames;
}

export function refusalPayload(sender: Uint8Array, why: Refused): Uint8Array {
  return Buffer.concat([Buffer.of(layouts.refusal), sender, Buffer.of(refusedCodes.indexOf(why))]);
}
