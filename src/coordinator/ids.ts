/** Ids of jobs, bundles and of this start: sorted by time, unguessable. Random bytes are fetched many at a time. */
import type { Outside } from '../lib/outside.ts';
import { ulid } from '../lib/ulid.ts';

const idBytes = 10;
const poolBytes = 100 * idBytes;

export class Ids {
  private readonly outside: Outside;
  private pool: Uint8Array = new Uint8Array(0);
  private at = 0;

  constructor(outside: Outside) {
    this.outside = outside;
  }

  next(): string {
    if (this.at + idBytes > this.pool.length) {
      this.pool = this.outside.randomBytes(poolBytes);
      this.at = 0;
    }
    const id = ulid(this.outside.wallMs(), this.pool.subarray(this.at, this.at + idBytes));
    this.at += idBytes;
    return id;
  }
}
