"""What a person does to a panel in a browser, and what they see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from mmkd_lab import whatif

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PATIENCE = 60_000  # milliseconds: a busy machine is no failure


class Hands:
    """The first panel of a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator(".mmkd-panel").first
        self.sentence, self.error = self.panel.get_by_role("status"), self.panel.get_by_role("alert")

    def control(self, label: str) -> Locator:
        """The widget with this label."""
        named = self.page.locator(".widget-label", has_text=label)
        return self.panel.locator(".widget-inline-hbox", has=named).first

    def handle(self, label: str) -> Locator:
        """What a slider is moved by."""
        return self.control(label).get_by_role("slider")

    def at(self, label: str) -> Locator:
        """Where a slider says it stands."""
        return self.control(label).locator(".widget-readout")

    def drag(self, label: str, share: float) -> None:
        """Pull a slider with the mouse to a share of its way, in small steps."""
        self.handle(label).scroll_into_view_if_needed()
        handle = self.handle(label).bounding_box()
        rail = self.control(label).locator(".noUi-base").bounding_box()
        assert handle is not None
        assert rail is not None
        height = handle["y"] + handle["height"] / 2
        self.page.mouse.move(handle["x"] + handle["width"] / 2, height)
        self.page.mouse.down()
        self.page.mouse.move(rail["x"] + rail["width"] * share, height, steps=12)
        self.page.mouse.up()

    def press(self, label: str, *keys: str) -> None:
        """Move a slider by keys."""
        self.handle(label).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def button(self, name: str, number: int = 0) -> Locator:
        """The button that is called so."""
        return self.panel.get_by_role("button", name=name).nth(number)

    def picture(self, begins: str) -> Locator:
        """The picture that a screen reader hears begin like this."""
        return self.panel.locator(f'.mmkd-now svg[aria-label^="{begins}"]')

    def shows(self, laboratory: whatif.Laboratory) -> None:
        """Wait until the panel stands at a state and says of it what Python says."""
        self.stands_at(laboratory.link())
        expect(self.sentence).to_contain_text(laboratory.settled().sentence)

    def stands_at(self, link: str) -> None:
        """Wait until the panel's link is this."""
        expect(self.panel.get_by_role("textbox", name="link")).to_have_value(link)

    def open(self, link: str) -> None:
        """Write another link."""
        self.panel.get_by_role("textbox", name="link").fill(link)
        self.page.keyboard.press("Enter")
