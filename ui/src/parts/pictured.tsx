/** A photograph of middling size with something drawn over it. */
import { usePicture } from '../state/pictures';
import { upright } from './format';
import type { Shape } from './items';
import { Marks } from './marks';

export type Seen = { md5: string; media_type: string; width: number; height: number; orientation?: number | null };

export function Pictured({ seen, alt, drawn }: { seen: Seen; alt: string; drawn: Shape[] }) {
  const picture = usePicture(seen.md5, seen.media_type, 1024);
  const [width, height] = upright(seen);
  return (
    <span class="frame" style={{ '--ratio': String(width / height) }}>
      {picture.url ? <><img src={picture.url} alt={alt} width={width} height={height} draggable={false} /><Marks shapes={drawn} tags /></> : <span class="nopreview">{picture.why}</span>}
    </span>
  );
}
