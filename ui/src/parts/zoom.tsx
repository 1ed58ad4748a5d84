/** A picture that one can come closer to: Ctrl and wheel, pinch, keys + − 0, two clicks; and drag when it is close. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

type View = { scale: number; x: number; y: number };
const WHOLE: View = { scale: 1, x: 0, y: 0 };
const CLOSEST = 12;

export function Zoom({ children, label }: { children: ComponentChildren; label: string }) {
  const [view, setView] = useState(WHOLE);
  const stage = useRef<HTMLDivElement>(null);
  const fingers = useRef(new Map<number, [number, number]>());
  const zoom = (factor: number, at?: [number, number]) =>
    setView((view) => {
      const scale = Math.min(CLOSEST, Math.max(1, view.scale * factor));
      if (scale === 1) return WHOLE;
      const box = stage.current!.getBoundingClientRect();
      const [x, y] = at ? [at[0] - box.left - box.width / 2, at[1] - box.top - box.height / 2] : [0, 0];
      const ratio = scale / view.scale;
      return { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio };
    });
  useEffect(() => {
    const element = stage.current!;
    // Not passive: the page must not scroll while one comes closer.
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey && view.scale === 1) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 300), [event.clientX, event.clientY]);
    };
    element.addEventListener('wheel', wheel, { passive: false });
    return () => element.removeEventListener('wheel', wheel);
  });
  const move = (event: PointerEvent) => {
    const before = fingers.current.get(event.pointerId);
    if (!before) return;
    const other = [...fingers.current].find(([id]) => id !== event.pointerId)?.[1];
    const now: [number, number] = [event.clientX, event.clientY];
    if (other) {
      const apart = (a: [number, number]) => Math.hypot(a[0] - other[0], a[1] - other[1]);
      zoom(apart(now) / Math.max(1, apart(before)), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    } else if (view.scale > 1) {
      setView((view) => ({ ...view, x: view.x + now[0] - before[0], y: view.y + now[1] - before[1] }));
    }
    fingers.current.set(event.pointerId, now);
  };
  const down = (event: PointerEvent) => {
    if ((event.target as HTMLElement).closest('button')) return;
    fingers.current.set(event.pointerId, [event.clientX, event.clientY]);
    stage.current?.setPointerCapture(event.pointerId);
  };
  const up = (event: PointerEvent) => void fingers.current.delete(event.pointerId);
  const pressed = (event: KeyboardEvent) => {
    const factor = { '+': 1.5, '=': 1.5, '-': 1 / 1.5, '0': 0 }[event.key];
    if (factor === undefined || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (factor === 0) setView(WHOLE);
    else zoom(factor);
  };
  return (
    <div ref={stage} class={`stage${view.scale > 1 ? ' close' : ''}`} role="group" aria-label={label} tabIndex={0} onKeyDown={pressed}
      onPointerDown={down} onPointerMove={move} onPointerUp={up} onPointerCancel={up} onDblClick={(event) => zoom(view.scale > 1 ? 0 : 3, [event.clientX, event.clientY])}>
      <div class="zoomed" style={{ transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})`, '--scale': String(view.scale) }}>{children}</div>
      <div class="zoomer">
        <button type="button" aria-label="Closer" onClick={() => zoom(1.5)}>+</button>
        <button type="button" aria-label="Farther" onClick={() => zoom(1 / 1.5)}>−</button>
      </div>
    </div>
  );
}
