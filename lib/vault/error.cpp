#include "vault/error.hpp"

#include "base/fault.hpp"

namespace titip::vault {

namespace {

class vault_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.vault"; }

    std::string message(int value) const override
    {
        switch (static_cast<errc>(value)) {
        case errc::full:
            return "no space for another record";
        case errc::conflict:
            return "this id is already here with other bytes";
        case errc::wrong_offset:
            return "the stored part does not end at this offset";
        case errc::unknown:
            return "no such record";
        case errc::already_complete:
            return "the record is complete";
        case errc::rotten:
            return "the stored bytes no longer match their checksum";
        case errc::wrong_state:
            return "the record is not in a state that allows this";
        case errc::store_failed:
            return "a write to the store failed";
        case errc::erased:
            return "the bytes of this record have been erased";
        case errc::cannot_sign:
            return "by the clock here, this node's own certificate does not hold now";
        case errc::contradicts:
            return "a verdict holds that excludes this one";
        case errc::loop:
            return "the receipt is of the node that brought the record here";
        }
        return "unknown error of the vault";
    }

    boost::system::error_condition default_error_condition(int value) const noexcept override
    {
        switch (static_cast<errc>(value)) {
        case errc::full:
        case errc::cannot_sign:
            return fault::admission;
        case errc::store_failed:
            return fault::store;
        case errc::conflict:
        case errc::wrong_offset:
        case errc::unknown:
        case errc::already_complete:
        case errc::rotten:
        case errc::wrong_state:
        case errc::erased:
        case errc::contradicts:
        case errc::loop:
            return fault::record;
        }
        return fault::record;
    }
};

} // namespace

boost::system::error_code make_error_code(errc value) noexcept
{
    static const vault_category category;
    return {static_cast<int>(value), category};
}

} // namespace titip::vault
