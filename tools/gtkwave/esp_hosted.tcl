# SPDX-License-Identifier: MIT
# Shows the lines of every co-processor in a VCD recording, and how many faults have fired:
#   gtkwave -S tools/gtkwave/esp_hosted.tcl esp0.vcd
set shown {}
foreach wanted {reset cs handshake data-ready faults.fired} {
    for {set i 0} {$i < [gtkwave::getNumFacs]} {incr i} {
        set name [gtkwave::getFacName $i]
        # A wide signal has its range behind the name.
        if {[string match "*.$wanted" $name] || [string match "*.$wanted\\\[*" $name]} {
            lappend shown $name
        }
    }
}
gtkwave::addSignalsFromList $shown
gtkwave::/Time/Zoom/Zoom_Full
