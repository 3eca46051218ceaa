"""The look of a backtest's page: light and dark as the reader's machine is, from a phone's width up."""

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ground:#fbfbfa;--card:#ffffff;--text:#1c2127;--quiet:#5c6570;--line:#d9dde2;
--grid:#e8ebee;--up:#0f766e;--down:#c2410c;--mark:#2563eb;--soft:#2563eb1f;--fall:#c2410c26}
@media (prefers-color-scheme:dark){:root{--ground:#14171b;--card:#1b1f24;--text:#e6e9ec;--quiet:#9aa4af;
--line:#343b44;--grid:#2a3038;--up:#2dd4bf;--down:#fb923c;--mark:#60a5fa;--soft:#60a5fa2b;--fall:#fb923c30}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0}h1 span{white-space:nowrap}
h2{font-size:1.15rem;margin:2.4rem 0 .7rem}
p{margin:.4rem 0}.quiet,figcaption{color:var(--quiet);font-size:.9rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1.2rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .85rem}
.tile b{display:block;font-size:1.3rem;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{color:var(--quiet);font-size:.82rem}
.up{color:var(--up)}.down{color:var(--down)}
figure{margin:0 0 1.2rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem;
padding:.8rem .9rem .7rem;min-width:0}
figcaption b{color:var(--text)}
.plot{position:relative;height:14rem;margin:.7rem .4rem 0 4.6rem;border-bottom:1px solid var(--line)}
.plot.low{height:7rem}.plot.candles{height:12rem}
.plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}
.y{position:absolute;left:-4.6rem;width:4.25rem;text-align:right;transform:translateY(50%);line-height:1;
font-size:.74rem;color:var(--quiet);font-variant-numeric:tabular-nums;white-space:nowrap}
.g{position:absolute;left:0;right:0;border-top:1px solid var(--grid)}
.x{position:relative;height:1.3rem;margin:.3rem .4rem 0 4.6rem;font-size:.74rem;color:var(--quiet)}
.x span{position:absolute;transform:translateX(-50%);white-space:nowrap}
.x span:first-child{transform:none}.x span:last-child{transform:translateX(-100%)}
.m{position:absolute;width:.8rem;height:.8rem;margin:0 0 -.4rem -.4rem;border:2px solid var(--card);border-radius:50%;
background:var(--mark)}
.m.out{border-radius:2px;background:var(--text)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:1rem}
.two>*{margin:0}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.34rem .6rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
tr:last-child>*{border-bottom:0}
th{color:var(--quiet);font-weight:600}th:first-child,td:first-child{text-align:left}
td.words{text-align:left;white-space:normal}
.month td{text-align:center}.month th{text-align:center}.month th:first-child{text-align:left}
.bar{min-width:7rem;width:32%;padding-left:.2rem}
.bar i{display:block;height:.72rem;border-radius:2px}
.bar i.up{background:var(--up)}.bar i.down{background:var(--down)}
ul{padding-left:1.1rem;margin:.4rem 0}li{margin:.25rem 0}
details{margin:.8rem 0}summary{cursor:pointer}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem;
font-size:.8rem;line-height:1.45}
@media (max-width:34rem){main{padding:1rem .7rem 3rem}h1{font-size:1.3rem}.plot{height:11rem;margin-left:3.9rem}
.x{margin-left:3.9rem}.y{left:-3.9rem;width:3.6rem;font-size:.68rem}th,td{padding:.3rem .42rem}
.days .x span:not(:first-child):not(:last-child){display:none}th,.figures td{white-space:normal}
.tiles{grid-template-columns:1fr 1fr}.tile b{font-size:1.1rem}.bar{min-width:4rem;width:22%}}
@media print{figure,.tile,.scroll{break-inside:avoid}}
"""

__all__ = ["STYLE"]
